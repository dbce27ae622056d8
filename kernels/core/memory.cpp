#include "kernels/core/memory.h"

#include <cstdlib>
#include <cstring>

#include "kernels/gpu/emulated/device_memory.h"

namespace poise {

Buffer::Buffer(size_t bytes, Device device) : size_(bytes) {
  require(device != Device::cuda, "this build has no CUDA device");
  const size_t rounded = align_up(bytes == 0 ? 1 : bytes);
  void* p = std::aligned_alloc(kAlignment, rounded);
  if (!p) {
    fail(ErrorKind::runtime, "out of memory: could not allocate " + std::to_string(bytes >> 20) +
                                 " MiB on the CPU; use a smaller batch or width");
  }
  std::memset(p, 0, rounded);
  if (device == Device::emulated) {
    emulator::register_memory(p, bytes, emulator::Contents::defined);
    bytes_ = {p, [](void* memory) {
                emulator::unregister_memory(memory);
                std::free(memory);
              }};
  } else {
    bytes_ = {p, std::free};
  }
}

void copy_from_host(const Tensor& to, const void* from) {
  if (to.elements() > 0) std::memcpy(to.bytes, from, to.size_bytes());
}

void copy_to_host(void* to, const Tensor& from) {
  if (from.elements() > 0) std::memcpy(to, from.bytes, from.size_bytes());
}

}  // namespace poise
