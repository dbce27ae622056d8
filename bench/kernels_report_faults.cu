// Two kernels that kernels_report must complain about: one holds more values at once than a block of this size has
// registers for, the other promises tensor cores in its name but does not use them.
namespace poise::cuda {

__global__ void __launch_bounds__(1024) spilling_kernel(float* x) {
  constexpr int kValues = 128;
  float a[kValues];
#pragma unroll
  for (int i = 0; i < kValues; ++i) a[i] = x[i * 1024 + threadIdx.x];
  __syncthreads();
  for (int round = 0; round < 10; ++round) {
#pragma unroll
    for (int i = 0; i < kValues; ++i) a[i] = a[(i * 7 + 3) % kValues] * 1.1f + x[round];
  }
#pragma unroll
  for (int i = 0; i < kValues; ++i) x[i * 1024 + threadIdx.x] = a[i];
}

__global__ void tensor_core_promise_kernel(float* x) { x[threadIdx.x] *= 2; }

}  // namespace poise::cuda
