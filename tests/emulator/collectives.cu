#include "tests/emulator/collectives.h"

#include "kernels/gpu/gpu.h"

namespace poise::POISE_GPU {
namespace {

__global__ void reverse_kernel(const int* x, int* y) {
  GPU_SHARED(tile, int[1024]);
  const unsigned n = blockDim.x, first = blockIdx.x * n;
  tile[threadIdx.x] = x[first + threadIdx.x];
  __syncthreads();
  y[first + threadIdx.x] = tile[n - 1 - threadIdx.x];
}

__global__ void warp_sums_kernel(const float* x, float* y) {
  float sum = x[threadIdx.x];
  for (int d = kWarp / 2; d > 0; d /= 2) sum += __shfl_xor_sync(kAllLanes, sum, d);
  if (lane_id() == 0) y[warp_id()] = sum;
}

}  // namespace

void reverse_through_shared(Context& ctx, int blocks, int threads, const int* x, int* y) {
  launch(ctx, {static_cast<unsigned>(blocks), static_cast<unsigned>(threads)}, reverse_kernel, x, y);
}

void warp_sums(Context& ctx, int threads, const float* x, float* y) {
  launch(ctx, {1, static_cast<unsigned>(threads)}, warp_sums_kernel, x, y);
}

}  // namespace poise::POISE_GPU
