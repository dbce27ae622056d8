// What self-attention (Zhang et al. 2019, "SAGAN") needs in addition to 1x1 convolutions and pooling:
//
//   batched_matmul  c_n = op(a_n) op(b_n)                op(m) = m, or its transpose
//   softmax         y[r,j] = exp(x[r,j]) / sum_j exp(x[r,j]);     dx = y (dy - sum_j dy y)
//   gated_add       y = x + gate o, gate [1];            do = gate dy, dgate = sum of dy o
//
// a [N,m,k] or [N,k,m], b [N,k,n] or [N,n,k], c [N,m,n]. Softmax runs over the last dimension of x, y [...,n]. In
// gated_add, x, o and y have one shape. All have one dtype; with bf16, gate and dgate are f32, and sums at least f32.
#pragma once
#include "kernels/core/context.h"

namespace poise {

using BatchedMatmul = void(Context&, bool transpose_a, bool transpose_b, const Tensor& a, const Tensor& b, Tensor& c);
using SoftmaxForward = void(Context&, const Tensor& x, Tensor& y);
using SoftmaxBackward = void(Context&, const Tensor& y, const Tensor& dy, Tensor& dx);
using GatedAddForward = void(Context&, const Tensor& x, const Tensor& o, const Tensor& gate, Tensor& y);
using GatedAddBackward = void(Context&, const Tensor& o, const Tensor& gate, const Tensor& dy, Tensor& workspace,
                              Tensor& grad_o, Tensor& dgate);

constexpr int64_t kGatedAddPartialSums = 256;
constexpr size_t kGatedAddWorkspace = kGatedAddPartialSums * sizeof(double);

}  // namespace poise
