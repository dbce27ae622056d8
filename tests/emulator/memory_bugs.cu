// Accesses to memory that is out of bounds, uninitialised, misaligned, or not the kernel's.
#include "kernels/gpu/gpu.h"
#include "tests/emulator/seeded_bugs.h"

namespace poise::POISE_GPU {
namespace {

constexpr int kThreads = 128;
constexpr int kN = BugData::kElements;

__device__ int element() { return static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); }

template <bool Bug>
__global__ void read_behind_kernel(const float* x, float* y) {
  const int i = element();
  y[i] = x[i] + (Bug || i + 1 < kN ? x[i + 1] : 0);
}

template <bool Bug>
__global__ void read_before_kernel(const float* x, float* y) {
  const int i = element();
  y[i] = x[i] + (Bug || i > 0 ? x[i - 1] : 0);
}

// The grid is rounded up to whole blocks.
template <bool Bug>
__global__ void past_the_grid_kernel(const float* x, float* y) {
  const int i = element();
  if (Bug || i < kN) y[i] = 2 * x[i % kN];
}

template <bool Bug>
__global__ void static_bounds_kernel(const float* x, float* y) {
  GPU_SHARED(tile, float[kThreads]);
  const int i = static_cast<int>(threadIdx.x);
  tile[i] = x[element()];
  __syncthreads();
  const float* row = tile;
  y[element()] = row[Bug ? i + 1 : (i + 1) % kThreads];
}

template <bool Bug>
__global__ void static_bounds_write_kernel(const float* x, float* y) {
  GPU_SHARED(first, float[kThreads]);
  GPU_SHARED(second, float[kThreads]);
  const int i = static_cast<int>(threadIdx.x);
  second[i] = 1;
  float* row = first;
  row[Bug ? i + 1 : i] = x[element()];
  __syncthreads();
  y[element()] = first[kThreads - 1 - i] + second[i];
}

struct OneWarp {
  float x[32];
};

// The launch requests 32 floats, but the kernel uses one per thread.
template <bool Bug>
__global__ void dynamic_bounds_kernel(const float* x, float* y) {
  GPU_DYNAMIC_SHARED(tile, OneWarp);
  float* row = tile.x;
  const int i = static_cast<int>(threadIdx.x);
  if (Bug || i < 32) row[i] = x[element()];
  __syncthreads();
  y[element()] = tile.x[i % 32];
}

template <bool Bug>
__global__ void uninitialised_sum_kernel(const float* x, float* y) {
  GPU_SHARED(sums, float[kThreads]);
  const int i = static_cast<int>(threadIdx.x);
  if constexpr (!Bug) sums[i] = 0;
  sums[i] += x[element()];
  y[element()] = sums[i];
}

// The halo of a tile: one element at either end.
template <bool Bug>
__global__ void halo_kernel(const float* x, float* y) {
  GPU_SHARED(tile, float[kThreads + 2]);
  const int i = static_cast<int>(threadIdx.x);
  tile[i + 1] = x[element()];
  if (!Bug && i == 0) tile[0] = tile[kThreads + 1] = 0;
  __syncthreads();
  y[element()] = tile[i] + tile[i + 1] + tile[i + 2];
}

template <bool Bug>
__global__ void misaligned_vector_kernel(const float* x, float* y) {
  const auto v = load_vector<4>(x + 4 * element() + (Bug ? 2 : 0));
  y[element()] = v[0] + v[3];
}

template <bool Bug>
__global__ void histogram_shared_kernel(const float* x, float* y) {
  GPU_SHARED(bins, int[16]);
  const int i = static_cast<int>(threadIdx.x);
  if (i < 16) bins[i] = 0;
  __syncthreads();
  int* bin = &bins[static_cast<int>(x[element()]) % 16];
  if constexpr (Bug) {
    *bin += 1;
  } else {
    atomicAdd(bin, 1);
  }
  __syncthreads();
  if (i < 16) y[blockIdx.x * 16 + threadIdx.x] = static_cast<float>(bins[i]);
}

template <bool Bug>
__global__ void histogram_global_kernel(const float* x, int* counters, float* y) {
  int* bin = &counters[static_cast<int>(x[element()]) % 16];
  if constexpr (Bug) {
    *bin += 1;
  } else {
    atomicAdd(bin, 1);
  }
  y[element()] = 1;
}

template <bool Bug>
__global__ void host_memory_kernel(const float* x, const float* from, float* y) {
  y[element()] = x[element()] + *from;
}

// A frame that does not fit on the stack.
template <bool Bug>
__global__ void deep_kernel(const float* x, float* y) {
  volatile float frame[Bug ? 100'000 : 1000];
  for (int i = 0; i < 1000; ++i) frame[i] = x[i];
  y[element()] = frame[element() % 1000];
}

template <bool Bug>
__global__ void small_launch_kernel(const float* x, float* y) {
  GPU_DYNAMIC_SHARED(tile, OneWarp);
  tile.x[lane_id()] = x[lane_id()];
  y[lane_id()] = tile.x[lane_id()];
}

}  // namespace

std::vector<SeededBug> memory_bugs() {
  return {
      {"global read behind the end", Caught::by_checker, "out of bounds",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {kN / kThreads, kThreads}, bug ? read_behind_kernel<true> : read_behind_kernel<false>, d.x, d.y);
       }},
      {"global read before the beginning", Caught::by_checker, "out of bounds",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {kN / kThreads, kThreads}, bug ? read_before_kernel<true> : read_before_kernel<false>, d.x, d.y);
       }},
      {"global write past the grid", Caught::by_checker, "out of bounds",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {kN / 96 + 1, 96}, bug ? past_the_grid_kernel<true> : past_the_grid_kernel<false>, d.x, d.y);
       }},
      {"shared read out of bounds", Caught::by_checker, "out of bounds",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {4, kThreads}, bug ? static_bounds_kernel<true> : static_bounds_kernel<false>, d.x, d.y);
       }},
      {"shared write out of bounds", Caught::by_checker, "out of bounds",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {4, kThreads}, bug ? static_bounds_write_kernel<true> : static_bounds_write_kernel<false>, d.x,
                d.y);
       }},
      {"dynamic shared memory out of bounds", Caught::by_checker, "out of bounds",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {4, kThreads, sizeof(OneWarp)}, bug ? dynamic_bounds_kernel<true> : dynamic_bounds_kernel<false>,
                d.x, d.y);
       }},
      {"dynamic shared memory not asked for", Caught::by_rules, "the launch gave it 64",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {1, kWarp, bug ? 64 : sizeof(OneWarp)},
                bug ? small_launch_kernel<true> : small_launch_kernel<false>, d.x, d.y);
       }},
      {"shared sum not initialised", Caught::by_checker, "no thread has written",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {4, kThreads}, bug ? uninitialised_sum_kernel<true> : uninitialised_sum_kernel<false>, d.x, d.y);
       }},
      {"shared halo not initialised", Caught::by_checker, "no thread has written",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {4, kThreads}, bug ? halo_kernel<true> : halo_kernel<false>, d.x, d.y);
       }},
      {"vector load misaligned", Caught::by_rules, "not a multiple of 16",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {4, kThreads}, bug ? misaligned_vector_kernel<true> : misaligned_vector_kernel<false>, d.x, d.y);
       }},
      {"histogram without atomics, shared", Caught::by_checker, "data race",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {4, kThreads}, bug ? histogram_shared_kernel<true> : histogram_shared_kernel<false>, d.x, d.y);
       }},
      {"histogram without atomics, global", Caught::by_checker, "data race",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {4, kThreads}, bug ? histogram_global_kernel<true> : histogram_global_kernel<false>, d.x,
                d.counters, d.y);
       }},
      {"pointer to memory of the host", Caught::by_checker, "out of bounds at",
       [](Context& ctx, bool bug, const BugData& d) {
         const auto on_host = std::make_unique<float>(1.0f);
         launch(ctx, {4, kThreads}, bug ? host_memory_kernel<true> : host_memory_kernel<false>, d.x,
                bug ? on_host.get() : d.x, d.y);
       }},
      {"stack overflow", Caught::by_rules, "overflowed its stack",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {1, kThreads}, bug ? deep_kernel<true> : deep_kernel<false>, d.x, d.y);
       }},
  };
}

}  // namespace poise::POISE_GPU
