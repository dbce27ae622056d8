// Fully connected layer:  y[n,o] = sum_i x[n,i] w[o,i] + b[o].   x [N,in], w [out,in], b [out] or empty, y [N,out].
#pragma once
#include "kernels/core/context.h"

namespace poise {

using LinearForward = void(Context&, const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y);
using LinearBackwardInput = void(Context&, const Tensor& dy, const Tensor& weight, Tensor& dx);  // dx = dy w
// dw = dy^T x ; db = sum_n dy, unless dbias is empty
using LinearBackwardWeight = void(Context&, const Tensor& x, const Tensor& dy, Tensor& dweight, Tensor& dbias);

namespace cpu {
// Plain loops, f32 and f64: the oracle.
LinearForward linear_forward;
LinearBackwardInput linear_backward_input;
LinearBackwardWeight linear_backward_weight;
// f32 on oneDNN's sgemm; f64 goes to the plain loops.
LinearForward linear_forward_onednn;
LinearBackwardInput linear_backward_input_onednn;
LinearBackwardWeight linear_backward_weight_onednn;
}  // namespace cpu
}  // namespace poise
