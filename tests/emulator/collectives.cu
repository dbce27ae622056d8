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

__global__ void shuffle_kernel(TestShuffle kind, int operand, int width, const int* x, int* y) {
  const int v = x[threadIdx.x];
  int r = 0;
  switch (kind) {
    case TestShuffle::index:
      r = __shfl_sync(kAllLanes, v, operand, width);
      break;
    case TestShuffle::up:
      r = __shfl_up_sync(kAllLanes, v, static_cast<unsigned>(operand), width);
      break;
    case TestShuffle::down:
      r = __shfl_down_sync(kAllLanes, v, static_cast<unsigned>(operand), width);
      break;
    case TestShuffle::exclusive_or:
      r = __shfl_xor_sync(kAllLanes, v, operand, width);
      break;
  }
  y[threadIdx.x] = r;
}

__global__ void votes_kernel(const int* x, int* y) {
  const uint32_t half = lane_id() < 16 ? 0x0000ffffu : 0xffff0000u;
  const int p = x[threadIdx.x], i = static_cast<int>(threadIdx.x) * 4;
  const uint32_t ballot = __ballot_sync(half, p);
  y[i] = static_cast<int>(ballot);
  y[i + 1] = __any_sync(half, p);
  y[i + 2] = __all_sync(half, p);
  y[i + 3] = __popc(ballot);
}

__global__ void block_votes_kernel(const int* x, int* y) {
  const int p = x[threadIdx.x], i = static_cast<int>(threadIdx.x) * 3;
  y[i] = __syncthreads_or(p);
  y[i + 1] = __syncthreads_and(p);
  y[i + 2] = __syncthreads_count(p);
}

__global__ void indices_kernel(uint64_t* y) {
  const uint64_t block = (uint64_t{blockIdx.z} * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const uint64_t thread = (uint64_t{threadIdx.z} * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  y[block * blockDim.x * blockDim.y * blockDim.z + thread] = uint64_t{threadIdx.x} | uint64_t{threadIdx.y} << 10 |
                                                             uint64_t{threadIdx.z} << 20 | uint64_t{blockIdx.x} << 30 |
                                                             uint64_t{blockIdx.y} << 40 | uint64_t{blockIdx.z} << 50;
}

__global__ void atomics_kernel(const int* x, int* y) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  atomicAdd(&y[0], x[i]);
  atomicMax(&y[1], x[i]);
  if (atomicCAS(&y[3], 0, 1) == 0) atomicAdd(&y[2], 1);
}

__global__ void tickets_kernel(int* counter, int* y) {
  y[blockIdx.x * blockDim.x + threadIdx.x] = atomicAdd(counter, 1);
}

__global__ void arithmetic_kernel(float* y) {
  y[0] = rsqrtf(4.0f);
  y[1] = __uint_as_float(0x40400000u);
  y[2] = static_cast<float>(__float_as_uint(1.0f) >> 23);
  y[3] = static_cast<float>(__clz(1));
  y[4] = static_cast<float>(__ffs(8));
  y[5] = static_cast<float>(min(3, 5) + max(3u, 5u));
  y[6] = fmaxf(NAN, 2.0f) + min(1.0f, 2.0f);
  y[7] = __uint_as_float(to_tf32(1.0f + 0x1p-11f));  // half a unit of tf32: away from zero
  y[8] = __uint_as_float(pack_bf16(1.0f, 2.0f));
  y[9] = load_vector<2>(y)[1];
}

__global__ void empty_kernel() {}

__global__ void fresh_shared_memory_kernel(int* y) {
  GPU_SHARED(tile, float[64]);
  y[blockIdx.x] = isnan(tile[5]) && isnan(tile[63]) ? 1 : 0;
  tile[5] = tile[63] = 0;
}

__global__ void barriers_kernel(int rounds, int* y) {
  for (int i = 0; i < rounds; ++i) __syncthreads();
  if (threadIdx.x == 0) y[blockIdx.x] = rounds;
}

__global__ void shuffles_kernel(int rounds, int* y) {
  int v = lane_id();
  for (int i = 0; i < rounds; ++i) v = __shfl_xor_sync(kAllLanes, v, 1 + i % 31);
  y[blockIdx.x * blockDim.x + threadIdx.x] = v;
}

__global__ void scale_and_add_kernel(int n, float scale, const float* x, float* y) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) y[i] += scale * x[i];
}

unsigned u(int n) { return static_cast<unsigned>(n); }

}  // namespace

void reverse_through_shared(Context& ctx, int blocks, int threads, const int* x, int* y) {
  launch(ctx, {u(blocks), u(threads)}, reverse_kernel, x, y);
}
void shuffle(Context& ctx, TestShuffle kind, int threads, int operand, int width, const int* x, int* y) {
  launch(ctx, {1, u(threads)}, shuffle_kernel, kind, operand, width, x, y);
}
void votes(Context& ctx, int threads, const int* x, int* y) { launch(ctx, {1, u(threads)}, votes_kernel, x, y); }
void block_votes(Context& ctx, int threads, const int* x, int* y) {
  launch(ctx, {1, u(threads)}, block_votes_kernel, x, y);
}
void indices(Context& ctx, int gx, int gy, int gz, int bx, int by, int bz, uint64_t* y) {
  launch(ctx, {dim3(u(gx), u(gy), u(gz)), dim3(u(bx), u(by), u(bz))}, indices_kernel, y);
}
void atomics(Context& ctx, int blocks, int threads, const int* x, int* y) {
  launch(ctx, {u(blocks), u(threads)}, atomics_kernel, x, y);
}
void tickets(Context& ctx, int blocks, int threads, int* counter, int* y) {
  launch(ctx, {u(blocks), u(threads)}, tickets_kernel, counter, y);
}
void arithmetic(Context& ctx, float* y) { launch(ctx, {1, 1}, arithmetic_kernel, y); }
void empty(Context& ctx, int gx, int gy, int bx, size_t shared_bytes) {
  launch(ctx, {dim3(u(gx), u(gy)), u(bx), shared_bytes}, empty_kernel);
}
void fresh_shared_memory(Context& ctx, int blocks, int* y) {
  launch(ctx, {u(blocks), 1}, fresh_shared_memory_kernel, y);
}
void barriers(Context& ctx, int blocks, int threads, int rounds, int* y) {
  launch(ctx, {u(blocks), u(threads)}, barriers_kernel, rounds, y);
}
void shuffles(Context& ctx, int blocks, int threads, int rounds, int* y) {
  launch(ctx, {u(blocks), u(threads)}, shuffles_kernel, rounds, y);
}
void scale_and_add(Context& ctx, int n, float scale, const float* x, float* y) {
  launch(ctx, {u(ceil_div(n, 256)), 256}, scale_and_add_kernel, n, scale, x, y);
}

}  // namespace poise::POISE_GPU
