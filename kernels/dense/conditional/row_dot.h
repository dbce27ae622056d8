// The head of a projection discriminator (Miyato and Koyama 2018): an inner product per row, and its gradient.
//
//   row_dot     y[n] = sum_c a[n,c] b[n,c]
//   scale_rows  y[n,c] = scale[n] x[n,c]          da = dy b, db = dy a
//
// a, b, x [N,C]; scale [N,1]. f32 or, on the CPU, f64.
#pragma once
#include "kernels/core/context.h"

namespace poise {

using RowDot = void(Context&, const Tensor& a, const Tensor& b, Tensor& y);
using ScaleRows = void(Context&, const Tensor& scale, const Tensor& x, Tensor& y);

}  // namespace poise
