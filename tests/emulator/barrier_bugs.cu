// Threads of a block that do not wait for each other, or wait at different barriers.
#include "kernels/gpu/gpu.h"
#include "tests/emulator/seeded_bugs.h"

namespace poise::POISE_GPU {
namespace {

constexpr int kThreads = 128;

__device__ int element() { return static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); }

template <bool Bug>
__global__ void reverse_static_kernel(const float* x, float* y) {
  GPU_SHARED(tile, float[kThreads]);
  const int i = static_cast<int>(threadIdx.x);
  tile[i] = x[element()];
  if constexpr (!Bug) __syncthreads();
  y[element()] = tile[kThreads - 1 - i];
}

struct Tile {
  float x[kThreads];
};

template <bool Bug>
__global__ void reverse_dynamic_kernel(const float* x, float* y) {
  GPU_DYNAMIC_SHARED(tile, Tile);
  const int i = static_cast<int>(threadIdx.x);
  tile.x[i] = x[element()];
  if constexpr (!Bug) __syncthreads();
  y[element()] = tile.x[kThreads - 1 - i];
}

// The next round overwrites data that slower threads still read.
template <bool Bug>
__global__ void rounds_kernel(const float* x, float* y) {
  GPU_SHARED(tile, float[kThreads]);
  const int i = static_cast<int>(threadIdx.x);
  float sum = 0;
  for (int round = 0; round < 4; ++round) {
    tile[i] = x[round * kThreads + i];
    __syncthreads();
    sum += tile[(i + 37) % kThreads];
    if constexpr (!Bug) __syncthreads();
  }
  y[element()] = sum;
}

template <bool Bug>
__global__ void tree_sum_kernel(const float* x, float* y) {
  GPU_SHARED(tile, float[kThreads]);
  const int i = static_cast<int>(threadIdx.x);
  tile[i] = x[element()];
  __syncthreads();
  for (int half = kThreads / 2; half > 0; half /= 2) {
    if (i < half) tile[i] += tile[i + half];
    if (!Bug || half != 32) __syncthreads();
  }
  if (i == 0) y[blockIdx.x] = tile[0];
}

// Both halves pass a barrier, but not the same one.
template <bool Bug>
__global__ void two_barriers_kernel(const float* x, float* y) {
  GPU_SHARED(tile, float[kThreads]);
  const int i = static_cast<int>(threadIdx.x);
  tile[i] = x[element()];
  if constexpr (Bug) {
    if (i < kThreads / 2) {
      __syncthreads();
    } else {
      __syncthreads();
    }
  } else {
    __syncthreads();
  }
  y[element()] = tile[kThreads - 1 - i];
}

// Threads without an element leave before the barrier.
template <bool Bug>
__global__ void early_return_kernel(int n, const float* x, float* y) {
  GPU_SHARED(tile, float[kThreads]);
  const int i = static_cast<int>(threadIdx.x);
  if (Bug && element() >= n) return;
  tile[i] = element() < n ? x[element()] : 0;
  __syncthreads();
  if (element() < n) y[element()] = tile[i] + tile[0];
}

template <bool Bug>
__global__ void trip_count_kernel(const float* x, float* y) {
  GPU_SHARED(tile, float[kThreads]);
  const int i = static_cast<int>(threadIdx.x);
  tile[i] = x[element()];
  const int rounds = Bug ? 1 + i % 2 : 2;
  for (int round = 0; round < rounds; ++round) __syncthreads();
  y[element()] = tile[kThreads - 1 - i];
}

// One lane waits for a partner that waits for it at the barrier.
template <bool Bug>
__global__ void lost_partner_kernel(const float* x, float* y) {
  GPU_SHARED(tile, float[kThreads]);
  const int i = static_cast<int>(threadIdx.x);
  tile[i] = x[element()];
  if (Bug && i == kThreads - 1) __syncwarp(0xc0000000u);
  __syncthreads();
  y[element()] = tile[kThreads - 1 - i];
}

template <bool Bug>
__global__ void counter_reset_kernel(const float* x, float* y) {
  GPU_SHARED(count, int);
  if (threadIdx.x == 0) count = 0;
  if constexpr (!Bug) __syncthreads();
  if (x[element()] > 100) atomicAdd(&count, 1);
  __syncthreads();
  if (threadIdx.x == 0) y[blockIdx.x] = static_cast<float>(count);
}

// One thread computes a value for all threads.
template <bool Bug>
__global__ void broadcast_kernel(const float* x, float* y) {
  GPU_SHARED(scale, float);
  if (threadIdx.x == 0) scale = x[blockIdx.x];
  if constexpr (!Bug) __syncthreads();
  y[element()] = scale * x[element()];
}

// Two arrays share memory, and the second is written while the first is still read.
template <bool Bug>
__global__ void reused_buffer_kernel(const float* x, float* y) {
  GPU_SHARED(buffer, float[kThreads]);
  const int i = static_cast<int>(threadIdx.x);
  buffer[i] = x[element()];
  __syncthreads();
  const float first = buffer[(i + 1) % kThreads];
  if constexpr (!Bug) __syncthreads();
  buffer[i] = 2 * first;
  __syncthreads();
  y[element()] = first + buffer[(i + 1) % kThreads];
}

template <bool Bug>
__global__ void bf16_halves_kernel(const float* x, float* y) {
  GPU_SHARED(tile, bf16[kThreads]);
  const int i = static_cast<int>(threadIdx.x);
  tile[i] = to_bf16(x[element()]);
  if constexpr (!Bug) __syncthreads();
  y[element()] = to_float(tile[i ^ 32]);
}

}  // namespace

std::vector<SeededBug> barrier_bugs() {
  return {
      {"barrier missing: read after write, static", Caught::by_checker, "data race|no thread has written",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {4, kThreads}, bug ? reverse_static_kernel<true> : reverse_static_kernel<false>, d.x, d.y);
       }},
      {"barrier missing: read after write, dynamic", Caught::by_checker, "data race|no thread has written",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {4, kThreads, sizeof(Tile)}, bug ? reverse_dynamic_kernel<true> : reverse_dynamic_kernel<false>,
                d.x, d.y);
       }},
      {"barrier missing: write after read", Caught::by_checker, "data race|no thread has written",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {4, kThreads}, bug ? rounds_kernel<true> : rounds_kernel<false>, d.x, d.y);
       }},
      {"barrier missing: one step of a tree", Caught::by_checker, "data race|no thread has written",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {4, kThreads}, bug ? tree_sum_kernel<true> : tree_sum_kernel<false>, d.x, d.y);
       }},
      {"barrier missing: counter reset", Caught::by_checker, "data race|no thread has written",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {4, kThreads}, bug ? counter_reset_kernel<true> : counter_reset_kernel<false>, d.x, d.y);
       }},
      {"barrier missing: value for all", Caught::by_checker, "data race|no thread has written",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {4, kThreads}, bug ? broadcast_kernel<true> : broadcast_kernel<false>, d.x, d.y);
       }},
      {"barrier missing: buffer used twice", Caught::by_checker, "data race|no thread has written",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {4, kThreads}, bug ? reused_buffer_kernel<true> : reused_buffer_kernel<false>, d.x, d.y);
       }},
      {"barrier missing: elements of two bytes", Caught::by_checker, "data race|no thread has written",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {4, kThreads}, bug ? bf16_halves_kernel<true> : bf16_halves_kernel<false>, d.x, d.y);
       }},
      {"barrier divergent: two lines", Caught::by_rules, "meet in different barriers",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {4, kThreads}, bug ? two_barriers_kernel<true> : two_barriers_kernel<false>, d.x, d.y);
       }},
      {"barrier divergent: early return", Caught::by_rules, "left the kernel",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {4, kThreads}, bug ? early_return_kernel<true> : early_return_kernel<false>, 500, d.x, d.y);
       }},
      {"barrier divergent: trip counts", Caught::by_rules, "left the kernel",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {4, kThreads}, bug ? trip_count_kernel<true> : trip_count_kernel<false>, d.x, d.y);
       }},
      {"barrier and __syncwarp wait for each other", Caught::by_rules,
       "deadlock: 127 threads [0..126] wait in __syncthreads",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {4, kThreads}, bug ? lost_partner_kernel<true> : lost_partner_kernel<false>, d.x, d.y);
       }},
  };
}

}  // namespace poise::POISE_GPU
