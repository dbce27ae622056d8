// Allocation, copies and fills. Refuses pointers of the wrong kind and ranges that exceed their allocation.
#include <cstring>

#include "tests/ptx/stand_in/device_memory.h"
#include "tests/ptx/stand_in/policy.h"
#include "tests/ptx/stand_in/profile.h"
#include "tests/ptx/stand_in/streams.h"

namespace poise::stand_in {
namespace {

DeviceMemory& memory() { return DeviceMemory::instance(); }

// The host address of one end of a copy; null, with the reason in `why`, if that end is not of the kind the copy names.
unsigned char* end_of_copy(const void* p, size_t bytes, bool on_device, std::string& why) {
  const char* expected = on_device ? "device memory" : "memory of the host";
  if ((memory().kind(p) == PointerKind::device) != on_device) {
    why = std::string("expected ") + expected + "; " + memory().describe(reinterpret_cast<uint64_t>(p));
    return nullptr;
  }
  if (!on_device) return static_cast<unsigned char*>(const_cast<void*>(p));
  unsigned char* at = memory().at(p, bytes);
  if (!at) why = std::to_string(bytes) + " bytes leave " + memory().describe(reinterpret_cast<uint64_t>(p));
  return at;
}

cudaError_t copy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t handle) {
  constexpr const char* kCall = "cudaMemcpyAsync";
  Streams& streams = Streams::instance();
  Stream* stream = streams.find(handle);
  if (!stream) return refuse(cudaErrorInvalidResourceHandle, kCall, "no such stream");
  if (kind != cudaMemcpyHostToDevice && kind != cudaMemcpyDeviceToHost && kind != cudaMemcpyDeviceToDevice) {
    return refuse(cudaErrorInvalidMemcpyDirection, kCall, "this direction is not known here");
  }
  if (bytes == 0) return answer(streams.broken);
  std::string why;
  unsigned char* target = end_of_copy(to, bytes, kind != cudaMemcpyDeviceToHost, why);
  const unsigned char* source = end_of_copy(from, bytes, kind != cudaMemcpyHostToDevice, why);
  if (!target || !source) return refuse(cudaErrorInvalidValue, kCall, why);
  const bool pageable = (kind == cudaMemcpyHostToDevice && memory().kind(from) == PointerKind::ordinary) ||
                        (kind == cudaMemcpyDeviceToHost && memory().kind(to) == PointerKind::ordinary);
  if (pageable && stream->capturing) {
    streams.capturing()->invalidated = true;
    return refuse(cudaErrorStreamCaptureUnsupported, kCall, "a captured copy needs memory from cudaMallocHost");
  }
  if (kind == cudaMemcpyHostToDevice && pageable) {
    const std::vector<unsigned char> taken(source, source + bytes);
    streams.submit(*stream, [=] { std::memcpy(target, taken.data(), taken.size()); });
  } else {
    streams.submit(*stream, [=] {
      if (kind == cudaMemcpyDeviceToHost && policy().sampled_blocks > 0 && phase() != Phase::before) {
        std::memset(target, 0, bytes);
      } else {
        std::memmove(target, source, bytes);
      }
    });
  }
  return answer(streams.broken);
}

cudaError_t fill(const char* call, void* to, int value, size_t bytes, cudaStream_t handle) {
  Streams& streams = Streams::instance();
  Stream* stream = streams.find(handle);
  if (!stream) return refuse(cudaErrorInvalidResourceHandle, call, "no such stream");
  if (bytes == 0) return answer(streams.broken);
  std::string why;
  unsigned char* target = end_of_copy(to, bytes, true, why);
  if (!target) return refuse(cudaErrorInvalidValue, call, why);
  streams.submit(*stream, [=] { std::memset(target, value, bytes); });
  return answer(streams.broken);
}

}  // namespace
}  // namespace poise::stand_in

using namespace poise::stand_in;

extern "C" {

cudaError_t cudaMalloc(void** p, size_t bytes) {
  const std::lock_guard lock(one_call_at_a_time());
  if (const auto error = unless_capturing("cudaMalloc")) return error;
  *p = bytes == 0 ? nullptr : memory().allocate(bytes);
  return answer(*p || bytes == 0 ? Streams::instance().broken : cudaErrorMemoryAllocation);
}

cudaError_t cudaFree(void* p) {
  const std::lock_guard lock(one_call_at_a_time());
  if (!p) return answer(Streams::instance().broken);
  if (const auto error = unless_capturing("cudaFree")) return error;
  Streams::instance().run_all();  // pending work may use it
  if (!memory().release(p)) return refuse(cudaErrorInvalidValue, "cudaFree", "not an allocation");
  return answer(Streams::instance().broken);
}

cudaError_t cudaMallocHost(void** p, size_t bytes) {
  const std::lock_guard lock(one_call_at_a_time());
  if (const auto error = unless_capturing("cudaMallocHost")) return error;
  *p = memory().allocate_pinned(bytes);
  return answer(*p ? Streams::instance().broken : cudaErrorMemoryAllocation);
}

cudaError_t cudaFreeHost(void* p) {
  const std::lock_guard lock(one_call_at_a_time());
  if (!p) return answer(Streams::instance().broken);
  if (const auto error = unless_capturing("cudaFreeHost")) return error;
  Streams::instance().run_all();
  if (!memory().release_pinned(p)) return refuse(cudaErrorInvalidValue, "cudaFreeHost", "not pinned memory");
  return answer(Streams::instance().broken);
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  const std::lock_guard lock(one_call_at_a_time());
  return copy(to, from, bytes, kind, stream);
}

cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  const std::lock_guard lock(one_call_at_a_time());
  return fill("cudaMemsetAsync", to, value, bytes, stream);
}

cudaError_t cudaMemset(void* to, int value, size_t bytes) {
  const std::lock_guard lock(one_call_at_a_time());
  if (const auto error = unless_capturing("cudaMemset")) return error;
  return fill("cudaMemset", to, value, bytes, nullptr);
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *total = memory().total();
  *free = memory().total() - memory().used();
  return answer(Streams::instance().broken);
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* p) {
  const std::lock_guard lock(one_call_at_a_time());
  *attributes = {};
  const PointerKind kind = memory().kind(p);
  attributes->type = kind == PointerKind::device   ? cudaMemoryTypeDevice
                     : kind == PointerKind::pinned ? cudaMemoryTypeHost
                                                   : cudaMemoryTypeUnregistered;
  attributes->devicePointer = kind == PointerKind::ordinary ? nullptr : const_cast<void*>(p);
  attributes->hostPointer = kind == PointerKind::device ? nullptr : const_cast<void*>(p);
  return answer(Streams::instance().broken);
}

}  // extern "C"
