// Asynchronous copies without a wait, and fragments in the wrong order.
#include "kernels/gpu/gpu.h"
#include "tests/emulator/seeded_bugs.h"

namespace poise::POISE_GPU {
namespace {

constexpr int kThreads = 128;
constexpr int kTiles = 7;  // more than twice as many as there are buffers

// Each thread copies four floats of a tile and adds up four that another thread copied.
template <bool Wait, bool Barrier>
__global__ void copy_kernel(const float* x, float* y) {
  GPU_SHARED(tile, float[kThreads * 4]);
  const int i = static_cast<int>(threadIdx.x);
  cp_async<16>(&tile[4 * i], x + 4 * i);
  cp_async_commit();
  if constexpr (Wait) cp_async_wait<0>();
  if constexpr (Barrier) __syncthreads();
  const int from = 4 * ((i + 64) % kThreads);
  y[blockIdx.x * kThreads + threadIdx.x] = tile[from] + tile[from + 1] + tile[from + 2] + tile[from + 3];
}

enum class PipelineBug { none, one_wait_short, no_last_barrier, no_commit };

// Two buffers: one is filled while the other is read.
template <PipelineBug Bug>
__global__ void pipeline_kernel(const float* x, float* y) {
  GPU_SHARED(tile, float[2][kThreads]);
  const int i = static_cast<int>(threadIdx.x);
  const auto fetch = [&](int t) {
    if (t < kTiles) cp_async<4>(&tile[t % 2][i], x + t * kThreads + i);
    if constexpr (Bug != PipelineBug::no_commit) cp_async_commit();
  };
  float sum = 0;
  fetch(0);
  for (int t = 0; t < kTiles; ++t) {
    fetch(t + 1);
    cp_async_wait<Bug == PipelineBug::one_wait_short ? 2 : 1>();
    __syncthreads();
    sum += tile[t % 2][(i + 64) % kThreads];
    if constexpr (Bug != PipelineBug::no_last_barrier) __syncthreads();
  }
  y[blockIdx.x * kThreads + threadIdx.x] = sum;
}

// The destination starts four bytes off.
template <bool Bug>
__global__ void misaligned_copy_kernel(const float* x, float* y) {
  GPU_SHARED(tile, float[kThreads * 4 + 4]);
  const int i = static_cast<int>(threadIdx.x), shift = Bug ? 1 : 0;
  cp_async<16>(&tile[4 * i + shift], x + 4 * i);
  cp_async_commit();
  cp_async_wait<0>();
  __syncthreads();
  y[i] = tile[4 * i + shift];
}

enum class FragmentBug { none, swapped_registers, not_transposed, odd_stride };

// One warp: y [16,8] = A [16,16] B [16,8], both from x, rounded to bf16.
template <FragmentBug Bug>
__global__ void product_kernel(const float* x, float* y) {
  constexpr int kStride =
      Bug == FragmentBug::odd_stride ? 20 : 24;  // elements: 48 bytes is a multiple of 16, 40 is not
  struct alignas(16) Operands {
    bf16 a[16 * kStride], b[16 * 8];
  };
  GPU_SHARED(s, Operands);
  const int lane = lane_id();
  for (int i = lane; i < 256; i += kWarp) s.a[i / 16 * kStride + i % 16] = to_bf16(x[i]);
  for (int i = lane; i < 128; i += kWarp) s.b[i] = to_bf16(x[300 + i]);
  __syncwarp();
  uint32_t a[4], b[2];
  ldmatrix_x4(a, &s.a[lane % 16 * kStride + lane / 16 * 8]);
  if constexpr (Bug == FragmentBug::not_transposed) {
    ldmatrix_x2(b, &s.b[lane % 16 * 8]);
  } else {
    ldmatrix_x2_trans(b, &s.b[lane % 16 * 8]);
  }
  float d[4] = {};
  if constexpr (Bug == FragmentBug::swapped_registers) {
    const uint32_t swapped[4] = {a[0], a[2], a[1], a[3]};
    mma_m16n8k16_bf16(d, swapped, b);
  } else {
    mma_m16n8k16_bf16(d, a, b);
  }
  for (int i = 0; i < 4; ++i) y[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = d[i];
}

}  // namespace

std::vector<SeededBug> copy_bugs() {
  return {
      {"cp_async: no wait", Caught::by_checker, "has not been waited for",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {4, kThreads}, bug ? copy_kernel<false, true> : copy_kernel<true, true>, d.x, d.y);
       }},
      {"cp_async: no barrier after the wait", Caught::by_checker,
       "data race|has not been waited for|no thread has written",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {4, kThreads}, bug ? copy_kernel<true, false> : copy_kernel<true, true>, d.x, d.y);
       }},
      {"cp_async: waits for one group less", Caught::by_checker, "has not been waited for",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {4, kThreads},
                bug ? pipeline_kernel<PipelineBug::one_wait_short> : pipeline_kernel<PipelineBug::none>, d.x, d.y);
       }},
      {"cp_async: overwrites the buffer in use", Caught::by_checker, "data race|has not been waited for",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {4, kThreads},
                bug ? pipeline_kernel<PipelineBug::no_last_barrier> : pipeline_kernel<PipelineBug::none>, d.x, d.y);
       }},
      {"cp_async: no commit", Caught::by_checker, "has not been waited for",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {4, kThreads}, bug ? pipeline_kernel<PipelineBug::no_commit> : pipeline_kernel<PipelineBug::none>,
                d.x, d.y);
       }},
      {"cp_async: misaligned", Caught::by_rules, "not a multiple of 16",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {1, kThreads}, bug ? misaligned_copy_kernel<true> : misaligned_copy_kernel<false>, d.x, d.y);
       }},
      {"ldmatrix: misaligned rows", Caught::by_rules, "not a multiple of 16",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {1, kWarp}, bug ? product_kernel<FragmentBug::odd_stride> : product_kernel<FragmentBug::none>, d.x,
                d.y);
       }},
      {"ldmatrix: not transposed", Caught::by_result, "",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {1, kWarp}, bug ? product_kernel<FragmentBug::not_transposed> : product_kernel<FragmentBug::none>,
                d.x, d.y);
       }},
      {"mma: fragment in the wrong order", Caught::by_result, "",
       [](Context& ctx, bool bug, const BugData& d) {
         launch(ctx, {1, kWarp},
                bug ? product_kernel<FragmentBug::swapped_registers> : product_kernel<FragmentBug::none>, d.x, d.y);
       }},
  };
}

}  // namespace poise::POISE_GPU
