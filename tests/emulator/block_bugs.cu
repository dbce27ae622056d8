// Blocks that depend on each other. They may communicate only through an atomic, with a fence on either side.
#include "kernels/gpu/gpu.h"
#include "tests/emulator/seeded_bugs.h"

namespace poise::POISE_GPU {
namespace {

constexpr int kThreads = 128;
constexpr int kBlocks = 8;

__device__ int element() { return static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); }

// Running sums that rely on the previous block.
template <bool Bug>
__global__ void previous_block_kernel(const float* x, float* y) {
  const int i = element();
  y[i] = x[i] + (Bug && blockIdx.x > 0 ? y[i - kThreads] : 0);
}

// Blocks of 128 outputs that advance by 127.
template <bool Bug>
__global__ void overlapping_output_kernel(const float* x, float* y) {
  const int i = static_cast<int>(blockIdx.x) * (Bug ? kThreads - 1 : kThreads) + static_cast<int>(threadIdx.x);
  y[i] = x[i];
}

enum class LastBlockBug { none, no_fence, no_barrier, plain_ticket, no_second_fence };

// y[0] = sum of x: blocks write partial sums, and the last one to finish adds them up.
template <LastBlockBug Bug>
__global__ void last_block_kernel(const float* x, float* partial, int* tickets, float* y) {
  GPU_SHARED(is_last, bool);
  const int i = static_cast<int>(threadIdx.x);
  partial[element()] = 2 * x[element()];
  if constexpr (Bug != LastBlockBug::no_fence) __threadfence();
  if constexpr (Bug != LastBlockBug::no_barrier) __syncthreads();
  if (i == 0) {
    if constexpr (Bug == LastBlockBug::plain_ticket) {
      is_last = tickets[0]++ == kBlocks - 1;
    } else {
      is_last = atomicAdd(&tickets[0], 1) == kBlocks - 1;
    }
    if constexpr (Bug != LastBlockBug::no_second_fence) __threadfence();
  }
  __syncthreads();
  if (!is_last) return;
  float sum = 0;
  for (int k = i; k < kBlocks * kThreads; k += kThreads) sum += partial[k];
  y[i] = sum;
}

// A block-level fence does not order accesses for other blocks.
template <bool Bug>
__global__ void block_fence_kernel(const float* x, float* partial, int* tickets, float* y) {
  if (threadIdx.x != 0) return;
  partial[blockIdx.x] = x[blockIdx.x];
  if constexpr (Bug) {
    __threadfence_block();
  } else {
    __threadfence();
  }
  if (atomicAdd(&tickets[0], 1) != kBlocks - 1) return;
  __threadfence();
  float sum = 0;
  for (int k = 0; k < kBlocks; ++k) sum += partial[k];
  y[0] = sum;
}

template <bool Bug>
__global__ void plain_read_of_counter_kernel(int* counters, float* y) {
  const int n = atomicAdd(&counters[threadIdx.x], 1);
  if (Bug && counters[threadIdx.x] < 0) y[0] = static_cast<float>(n);  // while other blocks still count
}

template <LastBlockBug Bug>
void run_last_block(Context& ctx, bool bug, const BugData& d) {
  launch(ctx, {kBlocks, kThreads}, bug ? last_block_kernel<Bug> : last_block_kernel<LastBlockBug::none>, d.x,
         d.y + 1024, d.counters, d.y);
}

}  // namespace

std::vector<SeededBug> block_bugs() {
  return {
      {"block reads what another wrote", Caught::by_checker, "blocks run in any order",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {kBlocks, kThreads}, bug ? previous_block_kernel<true> : previous_block_kernel<false>, d.x, d.y);
       }},
      {"blocks write the same element", Caught::by_checker, "blocks run in any order",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {kBlocks, kThreads}, bug ? overlapping_output_kernel<true> : overlapping_output_kernel<false>, d.x,
                d.y);
       }},
      {"last block: no fence before the ticket", Caught::by_checker, "__threadfence",
       run_last_block<LastBlockBug::no_fence>},
      {"last block: no barrier before the ticket", Caught::by_checker, "data race",
       run_last_block<LastBlockBug::no_barrier>},
      {"last block: ticket without atomic", Caught::by_checker, "blocks run in any order",
       run_last_block<LastBlockBug::plain_ticket>},
      {"last block: no fence after the ticket", Caught::by_checker, "__threadfence",
       run_last_block<LastBlockBug::no_second_fence>},
      {"last block: fence for the block only", Caught::by_checker, "__threadfence",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {kBlocks, kThreads}, bug ? block_fence_kernel<true> : block_fence_kernel<false>, d.x, d.y + 1024,
                d.counters, d.y);
       }},
      {"counter read without atomic", Caught::by_checker, "blocks run in any order",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {kBlocks, kThreads},
                bug ? plain_read_of_counter_kernel<true> : plain_read_of_counter_kernel<false>, d.counters, d.y);
       }},
  };
}

}  // namespace poise::POISE_GPU
