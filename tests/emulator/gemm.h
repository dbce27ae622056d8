// A matrix product structured like a real kernel: tiles are copied asynchronously into two buffers in shared memory and
// multiplied on tensor cores. It exercises everything at once, and serves as a benchmark of the emulator.
#pragma once
#include "kernels/core/context.h"

namespace poise {

// c [m,n] = a [m,k] b [k,n], row-major; a and b bf16, c f32; k and n multiples of 8.
using TestGemm = void(Context&, int m, int n, int k, const bf16* a, const bf16* b, float* c);

namespace emulated {
TestGemm gemm;
}
namespace checked {
TestGemm gemm;
}

}  // namespace poise
