// Neighbouring columns of a matrix, copied into another: the joints of split latents.
//
//   y[n, to + j] = x[n, from + j],  j < count.       x [N,A], y [N,B] of one dtype
#pragma once
#include "kernels/core/context.h"

namespace poise {

using CopyColumns = void(Context&, int64_t from, int64_t to, int64_t count, const Tensor& x, Tensor& y);

namespace cpu {
CopyColumns copy_columns;
}  // namespace cpu
}  // namespace poise
