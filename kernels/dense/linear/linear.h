// Fully connected layer:  y[n,o] = sum_i x[n,i] w[o,i] + b[o].   x [N,in], w [out,in], b [out] or empty, y [N,out].
#pragma once
#include "kernels/core/context.h"

namespace poise {

struct LinearGeometry {
  int64_t n = 0, in = 0, out = 0;
};
// Bytes of workspace that a kernel needs for one pass; the caller passes it to the kernel.
using LinearPlanner = size_t(const Context&, const LinearGeometry&, DType, Pass);
using LinearForward = void(Context&, const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& workspace,
                           Tensor& y);
using LinearBackwardInput = void(Context&, const Tensor& dy, const Tensor& weight, Tensor& workspace,
                                 Tensor& dx);  // dx = dy w
// dw = dy^T x ; db = sum_n dy, unless dbias is empty. dw and db are f32 even if x is bf16.
using LinearBackwardWeight = void(Context&, const Tensor& x, const Tensor& dy, Tensor& workspace, Tensor& dweight,
                                  Tensor& dbias);

}  // namespace poise
