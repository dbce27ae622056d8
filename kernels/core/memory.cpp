#include "kernels/core/memory.h"

#include <cstdlib>
#include <cstring>

#include "kernels/gpu/runtime.h"

namespace poise {

namespace {

void* host_memory(size_t bytes) {
  const size_t rounded = align_up(bytes == 0 ? 1 : bytes);
  void* p = std::aligned_alloc(kAlignment, rounded);
  if (!p) {
    fail(ErrorKind::runtime, "out of memory: could not allocate " + std::to_string(bytes >> 20) +
                                 " MiB on the CPU; use a smaller batch or width");
  }
  return std::memset(p, 0, rounded);
}

// A copy that stalls the device, for use outside of steps. All streams are idle before and after it.
void copy_and_wait(Device device, gpu::CopyKind kind, void* to, const void* from, size_t bytes) {
  gpu::Runtime& runtime = gpu::runtime(device);
  runtime.synchronize();
  const std::unique_ptr<gpu::Stream> stream = runtime.make_stream();
  runtime.copy(*stream, kind, to, from, bytes);
  runtime.synchronize(*stream);
}

}  // namespace

Buffer::Buffer(size_t bytes, Device device) : size_(bytes) {
  if (device == Device::cpu) {
    bytes_ = {host_memory(bytes), [](void* p) { std::free(p); }};
  } else if (device == Device::cuda) {
    bytes_ = {gpu::runtime(device).allocate(bytes), [](void* p) { gpu::runtime(Device::cuda).release(p); }};
  } else {
    bytes_ = {gpu::runtime(device).allocate(bytes), [](void* p) { gpu::runtime(Device::emulated).release(p); }};
  }
}

void copy_from_host(const Tensor& to, const void* from) {
  if (to.elements() == 0) return;
  if (to.device == Device::cpu) {
    std::memcpy(to.bytes, from, to.size_bytes());
  } else {
    copy_and_wait(to.device, gpu::CopyKind::to_device, to.bytes, from, to.size_bytes());
  }
}

void copy_to_host(void* to, const Tensor& from) {
  if (from.elements() == 0) return;
  if (from.device == Device::cpu) {
    std::memcpy(to, from.bytes, from.size_bytes());
  } else {
    copy_and_wait(from.device, gpu::CopyKind::to_host, to, from.bytes, from.size_bytes());
  }
}

}  // namespace poise
