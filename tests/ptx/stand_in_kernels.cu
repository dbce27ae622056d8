#include "tests/ptx/stand_in_kernels.h"

namespace poise {

__global__ void __launch_bounds__(512) count_kernel(int* to) {
  extern __shared__ int kept[];
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  kept[threadIdx.x] = i;
  to[i] = kept[threadIdx.x];
}

cudaError_t launch_count(dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream, int* to) {
  count_kernel<<<grid, block, shared_bytes, stream>>>(to);
  return cudaPeekAtLastError();
}
cudaError_t allow_count_shared_bytes(int bytes) {
  return cudaFuncSetAttribute(count_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
}

}  // namespace poise
