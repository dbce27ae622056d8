// The core headers must compile under nvcc, for the device as well: kernels of the CUDA backend share them. The random
// numbers are checked at compile time against the published vectors of Philox4x32-10.
#include "kernels/core/context.h"
#include "kernels/core/philox.h"

namespace poise {

constexpr bool known_answer() {
  const Philox4 r = philox4x32(0, 0, 0, 0);
  return r.x[0] == 0x6627e8d5u && r.x[1] == 0xe169c58du && r.x[2] == 0xbc57ac4cu && r.x[3] == 0x9b00dbd8u;
}
static_assert(known_answer(), "Philox4x32-10 of an all-zero key and counter");

__global__ void uniform_kernel(uint64_t seed, float* y) {
  y[threadIdx.x] = uniform_open(philox4x32(seed, threadIdx.x, 0, permute(threadIdx.x, 50000, seed, 0)).x[0]);
}

}  // namespace poise
