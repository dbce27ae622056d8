// Kernels over all elements of a tensor, in any order.
#pragma once
#include "kernels/gpu/gpu.h"

namespace poise::POISE_GPU {

// f(i) for i in 0..n-1.
template <class F>
__device__ inline void for_each_element(int64_t n, const F& f) {
  const int64_t stride = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n; i += stride) f(i);
}

constexpr int kElementwiseThreads = 256;
constexpr int64_t kElementwiseBlocks = 132 * 8;  // fills every multiprocessor of the largest device

inline LaunchShape elementwise(int64_t n) {
  const int64_t blocks = ceil_div<int64_t>(n, kElementwiseThreads);
  return {.grid = static_cast<uint32_t>(blocks < 1                    ? 1
                                        : blocks < kElementwiseBlocks ? blocks
                                                                      : kElementwiseBlocks),
          .block = kElementwiseThreads};
}

// From the element type of an activation to a type: f<float>() or f<bf16>().
template <class F>
void dispatch_stored(DType dtype, const F& f) {
  if (dtype == DType::bf16) return f.template operator()<bf16>();
  require(dtype == DType::f32, "the GPU kernels exist for f32 and bf16 only");
  f.template operator()<float>();
}

}  // namespace poise::POISE_GPU
