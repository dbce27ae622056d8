// Sums in a fixed order, with the same bits on every run.
#pragma once
#include "kernels/gpu/gpu.h"

namespace poise::POISE_GPU {

// Returns in every lane the sum over the 32 lanes of the warp, computed as a balanced tree.
__device__ inline float warp_sum(float v) {
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) v += __shfl_xor_sync(kAllLanes, v, offset);
  return v;
}

// Returns in every thread the sum over the block. `shared` may be reused after the call.
template <int Warps>
__device__ inline float block_sum(float v, float (&shared)[Warps]) {
  v = warp_sum(v);
  if (lane_id() == 0) shared[warp_id()] = v;
  __syncthreads();
  float total = 0;
#pragma unroll
  for (int w = 0; w < Warps; ++w) total += shared[w];
  __syncthreads();
  return total;
}

}  // namespace poise::POISE_GPU
