// Prefix sums of integers over the threads of a block.
#pragma once
#include "kernels/gpu/gpu.h"

namespace poise::POISE_GPU {

// Returns in each thread the sum of `value` over the threads before it; `total` receives the sum over all. All threads
// of the block must call it; `shared` may be reused after the call.
template <int Warps, class Integer>
__device__ inline Integer block_exclusive_sum(Integer value, Integer (&shared)[Warps], Integer& total) {
  Integer inclusive = value;
#pragma unroll
  for (int offset = 1; offset < kWarp; offset *= 2) {
    const Integer before = __shfl_up_sync(kAllLanes, inclusive, offset);
    if (lane_id() >= offset) inclusive += before;
  }
  if (lane_id() == kWarp - 1) shared[warp_id()] = inclusive;
  __syncthreads();
  Integer sum = 0, earlier_warps = 0;
#pragma unroll
  for (int w = 0; w < Warps; ++w) {
    if (w == warp_id()) earlier_warps = sum;
    sum += shared[w];
  }
  __syncthreads();
  total = sum;
  return earlier_warps + inclusive - value;
}

}  // namespace poise::POISE_GPU
