// Kernels that use each collective once, and write what they got.
#pragma once
#include "kernels/core/context.h"

namespace poise {

using ReverseThroughShared = void(Context&, int blocks, int threads, const int* x,
                                  int* y);                               // y[block] = x[block] reversed
using WarpSums = void(Context&, int threads, const float* x, float* y);  // y[warp] = sum over its lanes

namespace emulated {
ReverseThroughShared reverse_through_shared;
WarpSums warp_sums;
}  // namespace emulated
namespace checked {
ReverseThroughShared reverse_through_shared;
WarpSums warp_sums;
}  // namespace checked

}  // namespace poise
