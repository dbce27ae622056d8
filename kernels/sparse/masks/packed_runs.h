// Packs the alive part of a vector of weights or gradients, without the gaps in between, for exchange between ranks.
//
//   packed[k * run + i] = all[runs[k] * run + i],  i < run
//
// all, packed f32 or (on the CPU) f64; runs i32 [n], ascending; packed [n * run]. Unpacking writes all of `all`: zeros
// outside the runs.
#pragma once
#include "kernels/core/context.h"

namespace poise {

using PackRuns = void(Context&, int64_t run, const Tensor& runs, const Tensor& all, Tensor& packed);
using UnpackRuns = void(Context&, int64_t run, const Tensor& runs, const Tensor& packed, Tensor& all);

}  // namespace poise
