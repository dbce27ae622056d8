// Lanes of a warp that exchange data incorrectly.
#include "kernels/gpu/gpu.h"
#include "tests/emulator/seeded_bugs.h"

namespace poise::POISE_GPU {
namespace {

constexpr int kThreads = 128;

__device__ int element() { return static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); }

template <bool Bug>
__global__ void exchange_kernel(const float* x, float* y) {
  GPU_SHARED(tile, float[kThreads]);
  const int i = static_cast<int>(threadIdx.x);
  tile[i] = x[element()];
  if constexpr (!Bug) __syncwarp();
  y[element()] = tile[i ^ 1];
}

template <bool Bug>
__global__ void exchange_twice_kernel(const float* x, float* y) {
  GPU_SHARED(tile, float[kThreads]);
  const int i = static_cast<int>(threadIdx.x);
  tile[i] = x[element()];
  __syncwarp();
  const float other = tile[i ^ 1];
  if constexpr (!Bug) __syncwarp();
  tile[i] = other + 1;
  __syncwarp();
  y[element()] = tile[i ^ 1];
}

// A shuffle makes lanes wait for each other but does not order their accesses to memory.
template <bool Bug>
__global__ void shuffle_is_no_fence_kernel(const float* x, float* y) {
  GPU_SHARED(tile, float[kThreads]);
  const int i = static_cast<int>(threadIdx.x);
  tile[i] = x[element()];
  const float sum = x[element()] + __shfl_xor_sync(kAllLanes, x[element()], 1);
  if constexpr (!Bug) __syncwarp();
  y[element()] = sum * tile[i ^ 1];
}

// Lanes exchange across the half-warp, but only quarters wait for each other.
template <bool Bug>
__global__ void narrow_syncwarp_kernel(const float* x, float* y) {
  GPU_SHARED(tile, float[kThreads]);
  const int i = static_cast<int>(threadIdx.x);
  tile[i] = x[element()];
  __syncwarp(Bug ? 0xffu << (lane_id() / 8 * 8) : 0xffffu << (lane_id() / 16 * 16));
  y[element()] = tile[i ^ 8];
}

template <bool Bug>
__global__ void own_lane_kernel(const float* x, float* y) {
  y[element()] = __shfl_sync(Bug ? 0x7fffffffu : kAllLanes, x[element()], 0);
}

// Only half of the lanes make the call, but the mask names all.
template <bool Bug>
__global__ void half_warp_kernel(const float* x, float* y) {
  float sum = x[element()];
  if (lane_id() < 16) {
    for (int d = 8; d > 0; d /= 2) sum += __shfl_xor_sync(Bug ? kAllLanes : 0xffffu, sum, d);
  }
  y[element()] = sum;
}

template <bool Bug>
__global__ void two_masks_kernel(const float* x, float* y) {
  const uint32_t mask = Bug && lane_id() % 2 == 1 ? 0x0000ffffu : kAllLanes;
  if (mask == kAllLanes || lane_id() < 16) y[element()] = x[element()] + __shfl_xor_sync(mask, x[element()], 1);
}

// Lanes with a small element exit early, but the others still expect them.
template <bool Bug>
__global__ void early_exit_kernel(const float* x, float* y) {
  const float v = x[element()];
  if (Bug && v < 3) return;
  const uint32_t small = __ballot_sync(kAllLanes, v < 3);
  if (v >= 3) y[element()] = static_cast<float>(__popc(small));
}

template <bool Bug>
__global__ void width_kernel(const float* x, float* y) {
  float sum = x[element()];
  for (int d = 4; d > 0; d /= 2) sum += __shfl_down_sync(kAllLanes, sum, static_cast<unsigned>(d), Bug ? 16 : 8);
  y[element()] = sum;  // of those lanes from i to i+7 that are in the same group of eight
}

template <bool Bug>
__global__ void absent_source_kernel(const float* x, float* y) {
  float v = x[element()];
  if (lane_id() < 16) v = __shfl_sync(0xffffu, v, Bug ? 20 : 4);
  y[element()] = v;
}

template <bool Bug>
__global__ void two_lines_kernel(const float* x, float* y) {
  float v = x[element()];
  if constexpr (Bug) {
    if (lane_id() % 2 == 0) {
      v += __shfl_xor_sync(kAllLanes, v, 1);
    } else {
      v -= __shfl_xor_sync(kAllLanes, v, 1);
    }
  } else {
    const float other = __shfl_xor_sync(kAllLanes, v, 1);
    v = lane_id() % 2 == 0 ? v + other : v - other;
  }
  y[element()] = v;
}

template <bool Bug>
__global__ void odd_width_kernel(const float* x, float* y) {
  y[element()] = __shfl_sync(kAllLanes, x[element()], 3, Bug ? 24 : 8);
}

// A reduction that omits its last step.
template <bool Bug>
__global__ void short_reduction_kernel(const float* x, float* y) {
  float sum = x[element()];
  for (int d = 16; d > (Bug ? 1 : 0); d /= 2) sum += __shfl_xor_sync(kAllLanes, sum, d);
  y[element()] = sum;
}

}  // namespace

std::vector<SeededBug> warp_bugs() {
  return {
      {"__syncwarp missing: read after write", Caught::by_checker,
       "no __syncwarp or __syncthreads|no thread has written",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {4, kThreads}, bug ? exchange_kernel<true> : exchange_kernel<false>, d.x, d.y);
       }},
      {"__syncwarp missing: write after read", Caught::by_checker,
       "no __syncwarp or __syncthreads|no thread has written",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {4, kThreads}, bug ? exchange_twice_kernel<true> : exchange_twice_kernel<false>, d.x, d.y);
       }},
      {"__syncwarp missing: a shuffle instead", Caught::by_checker,
       "no __syncwarp or __syncthreads|no thread has written",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {4, kThreads}, bug ? shuffle_is_no_fence_kernel<true> : shuffle_is_no_fence_kernel<false>, d.x,
                d.y);
       }},
      {"__syncwarp with too small a mask", Caught::by_checker, "no __syncwarp or __syncthreads|no thread has written",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {4, kThreads}, bug ? narrow_syncwarp_kernel<true> : narrow_syncwarp_kernel<false>, d.x, d.y);
       }},
      {"mask without the own lane", Caught::by_rules, "its own lane is not in the mask",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {4, kThreads}, bug ? own_lane_kernel<true> : own_lane_kernel<false>, d.x, d.y);
       }},
      {"mask names lanes that do not come", Caught::by_rules, "left the kernel",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {4, kThreads}, bug ? half_warp_kernel<true> : half_warp_kernel<false>, d.x, d.y);
       }},
      {"masks differ", Caught::by_rules, "wait elsewhere|left the kernel|deadlock",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {4, kThreads}, bug ? two_masks_kernel<true> : two_masks_kernel<false>, d.x, d.y);
       }},
      {"named lane leaves", Caught::by_rules, "left the kernel",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {4, kThreads}, bug ? early_exit_kernel<true> : early_exit_kernel<false>, d.x, d.y);
       }},
      {"shuffle with the wrong width", Caught::by_result, "",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {4, kThreads}, bug ? width_kernel<true> : width_kernel<false>, d.x, d.y);
       }},
      {"shuffle from a lane outside of the mask", Caught::by_rules, "which does not take part",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {4, kThreads}, bug ? absent_source_kernel<true> : absent_source_kernel<false>, d.x, d.y);
       }},
      {"shuffle at two lines", Caught::by_rules, "wait elsewhere",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {4, kThreads}, bug ? two_lines_kernel<true> : two_lines_kernel<false>, d.x, d.y);
       }},
      {"shuffle width that is no power of two", Caught::by_rules, "power of two",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {4, kThreads}, bug ? odd_width_kernel<true> : odd_width_kernel<false>, d.x, d.y);
       }},
      {"reduction one step short", Caught::by_result, "",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {4, kThreads}, bug ? short_reduction_kernel<true> : short_reduction_kernel<false>, d.x, d.y);
       }},
  };
}

}  // namespace poise::POISE_GPU
