// A matrix product as real kernels do it: tiles through shared memory, copied asynchronously into two buffers,
// multiplied on tensor cores. Exercises everything at once, and is what the speed of the emulator is measured on.
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
