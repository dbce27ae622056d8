#include "bench/ceilings/ceilings.h"

#include "kernels/gpu/elementwise.cuh"

namespace poise::POISE_GPU {
namespace {

// One thread per 16 bytes, grid-stride. Each step moves 32 bytes.
__global__ void copy_kernel(int64_t vectors, const float* from, float* to) {
  for_each_element(vectors, [&](int64_t i) { store_vector<4>(to + 4 * i, load_vector<4>(from + 4 * i)); });
}

void copy(Context& ctx, const Tensor& from, Tensor& to) {
  const int64_t vectors = from.elements() / 4;
  launch(ctx, elementwise(vectors), copy_kernel, vectors, from.data<float>(), to.data<float>());
}

// Blocks read adjacent pieces of x and move on by one piece each time, so that no read hits in L1.
__global__ void read_kernel(int times, int64_t vectors_per_piece, const float* x, float* sums) {
  float sum = 0;
  for (int time = 0; time < times; ++time) {
    const float* piece = x + (blockIdx.x + time) % gridDim.x * vectors_per_piece * 4;
#pragma unroll 8
    for (int64_t i = threadIdx.x; i < vectors_per_piece; i += kReadThreads) {
      const Vector<float, 4> v = load_vector<4>(piece + 4 * i);
      sum += v[0] + v[1] + v[2] + v[3];
    }
  }
  sums[blockIdx.x * kReadThreads + threadIdx.x] = sum;
}

void read(Context& ctx, int times, const Tensor& x, Tensor& sums) {
  launch(ctx, {.grid = kReadBlocks, .block = kReadThreads}, read_kernel, times, x.elements() / (4 * kReadBlocks),
         x.data<float>(), sums.data<float>());
}

// One warp, eight independent accumulators: enough products in flight to hide the latency of each.
template <bool bf16_operands>
__global__ void tensor_core_rate_kernel(int rounds, float* sums) {
  float d[kProductsPerRound][4] = {};
  const uint32_t lane = threadIdx.x % kWarp;
  // Operands resemble random data: with all zeros, the GPU would draw less power and clock higher.
  const uint32_t seed = lane * 2654435761u;
  const uint32_t exponents = bf16_operands ? 0x3f803f80u : 0x3f800000u;
  const uint32_t bits = bf16_operands ? 0x807f807fu : 0x807fe000u;
  const uint32_t a[4] = {exponents | (seed & bits), exponents | ((seed >> 3) & bits), exponents | ((seed << 5) & bits),
                         exponents | ((seed >> 7) & bits)};
  const uint32_t b[2] = {exponents | ((seed << 2) & bits), exponents | ((seed >> 5) & bits)};
  for (int round = 0; round < rounds; ++round) {
#pragma unroll
    for (int i = 0; i < kProductsPerRound; ++i) {
      if constexpr (bf16_operands) {
        mma_m16n8k16_bf16(d[i], a, b);
      } else {
        mma_m16n8k8_tf32(d[i], a, b);
      }
    }
  }
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kProductsPerRound; ++i) sum += d[i][0] + d[i][1] + d[i][2] + d[i][3];
  sums[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}

template <bool bf16_operands>
void multiply(Context& ctx, int rounds, Tensor& sums) {
  launch(ctx, {.grid = kProductBlocks, .block = kWarpsPerBlock * kWarp}, tensor_core_rate_kernel<bf16_operands>, rounds,
         sums.data<float>());
}

}  // namespace

CeilingKernels ceiling_kernels() {
  return {.copy = copy, .read = read, .multiply_bf16 = multiply<true>, .multiply_tf32 = multiply<false>};
}

}  // namespace poise::POISE_GPU
