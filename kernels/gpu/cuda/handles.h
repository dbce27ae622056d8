// For files that call CUDA and its libraries: the raw stream of a context, and errors that name the call.
#pragma once
#include <cuda_runtime_api.h>

#include <string>

#include "kernels/gpu/runtime.h"

namespace poise::cuda {

class Stream final : public gpu::Stream {
 public:
  explicit Stream(cudaStream_t s) : handle(s) {}
  ~Stream() override { cudaStreamDestroy(handle); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  cudaStream_t handle;
};

inline cudaStream_t stream_of(const Context& ctx) {
  return ctx.stream ? static_cast<const Stream*>(ctx.stream)->handle : cudaStream_t{};
}

// "kernels/gpu/cuda/runtime.cpp:31: cudaMalloc: out of memory (cudaErrorMemoryAllocation); use a smaller ..."
[[noreturn]] void fail_cuda(cudaError_t error, const char* call, const char* file, int line);

inline void check(cudaError_t error, const char* call, const char* file = __builtin_FILE(),
                  int line = __builtin_LINE()) {
  if (error != cudaSuccess) fail_cuda(error, call, file, line);
}

}  // namespace poise::cuda
