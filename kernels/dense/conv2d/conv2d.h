// Two-dimensional convolution (cross-correlation, as in PyTorch), NHWC, zero padding, optionally of an input that is
// first upsampled (nearest neighbour):
//
//   y[n,p,q,o] = b[o] + sum_{r,s,i} u[n, p*stride_h + r - pad_h, q*stride_w + s - pad_w, i] * w[o,r,s,i]
//   u[n,a,b,i] = x[n, a/upsample, b/upsample, i]        (zero outside)
//
// With relu, the result is max(0, y), rectified on its way to memory. With pool 2, the op's output is the mean over
// each 2x2 block of y (an odd last row or column is dropped); kernels compute it in another form (below).
//
// x [N,H,W,C_in], w [C_out,kh,kw,C_in], b [C_out] or empty, y [N,out_h,out_w,C_out].
//
// Upsampling is part of the convolution because no kernel needs the upsampled tensor. An implicit GEMM reads x at half
// the coordinate. A 3x3 convolution of a 2x upsampled image is four 2x2 convolutions of the small image, one per output
// parity, on sums of the taps: 4/9 of the arithmetic. On the CPU it is one convolution with stride 2 and window sums:
// 1/4 of it (window_sums.h).
#pragma once
#include "kernels/core/context.h"
#include "kernels/core/layer_input.h"

namespace poise {

struct Conv2dGeometry {
  int64_t n = 0, h = 0, w = 0, c_in = 0;  // the stored input, before upsampling
  int64_t c_out = 0, kh = 1, kw = 1;
  int64_t stride_h = 1, stride_w = 1, pad_h = 0, pad_w = 0;
  int64_t upsample = 1;  // 1 or 2
  int64_t pool = 1;      // 1 or 2
  bool relu = false;     // forward pass only. The other passes expect a dy that has gone back through the ReLU
  // Set only for kernels that finish their results (finishes_results() in engine/ops/layer_pass.h), which round once.
  bool adds = false;   // adds to what y holds; in a dense backward_input, to what dx holds
  bool masks = false;  // backward_input: dx holds x, the output of a ReLU, and becomes the gradient before the ReLU

  int64_t sum_h() const { return (h * upsample + 2 * pad_h - kh) / stride_h + 1; }  // before pooling
  int64_t sum_w() const { return (w * upsample + 2 * pad_w - kw) / stride_w + 1; }
  int64_t out_h() const { return sum_h() / pool; }
  int64_t out_w() const { return sum_w() / pool; }
  Shape x_shape() const { return {n, h, w, c_in}; }
  Shape weight_shape() const { return {c_out, kh, kw, c_in}; }
  Shape y_shape() const { return {n, out_h(), out_w(), c_out}; }
  // Is this a k x k convolution (k odd) whose output is as large as its upsampled input? Upsampling is for 1x1 and 3x3.
  bool keeps_size(int64_t k) const {
    return kh == k && kw == k && stride_h == 1 && stride_w == 1 && pad_h == k / 2 && pad_w == k / 2;
  }
  bool enlargement_allowed() const { return upsample == 1 || (upsample == 2 && (keeps_size(1) || keeps_size(3))); }
  bool pooling_allowed() const {
    return pool == 1 || (pool == 2 && upsample == 1 && !relu && (keeps_size(1) || keeps_size(3)) && h > 1 && w > 1);
  }
  // How kernels compute pooling. A 1x1 convolution commutes with it, so all kernels convolve the pooled x. For a 3x3
  // one, dense kernels work sum by sum in f64; otherwise on the CPU over window sums (window_sums.h), on GPUs with
  // stride 2 and folded weights (pooling_fold.h). Kernels for single weights use weights_form() (kernels/sparse/
  // weights/). Block kernels, whose lists of alive cells refer to the unfolded weight, compute the sums: on the CPU
  // region by region, pooled before they return to memory; on a GPU as a plain convolution, pooled afterwards.
  bool pools_input() const { return pool == 2 && kh == 1; }
  bool pools_sums() const { return pool == 2 && kh == 3; }
  Conv2dGeometry dense_form() const { return pools_sums() ? *this : sparse_form(); }
  Conv2dGeometry sparse_form() const {
    Conv2dGeometry form = *this;
    if (pools_input()) form.h /= 2, form.w /= 2;
    form.pool = 1;
    return form;
  }
  // Multiply-adds of the textbook sum, padding included, the same for all three passes.
  double macs() const { return static_cast<double>(n * sum_h() * sum_w()) * c_out * kh * kw * c_in; }
  bool operator==(const Conv2dGeometry&) const = default;
};

// What a kernel will need and do for one pass, queried before a step runs, for plans and captured graphs.
struct Conv2dPlan {
  size_t workspace_bytes = 0;
  double executed_macs = 0;
};
// Do the dense kernels implement `adds` and the operand `rectified`? If not, callers never request them.
using Conv2dFinishes = bool(const Context&);
// The error if they are requested there.
constexpr const char* kDoesNotFinish = "dense CPU kernels neither mask by a ReLU nor write a rectified copy";
// Can the dense kernels normalise x while reading it, and store it in `written`? If not, callers never request it.
using Conv2dNormalises = bool(const Context&, DType);
using Conv2dPlanner = Conv2dPlan(const Context&, const Conv2dGeometry&, DType, Pass);

// `workspace` has the size that the planner returned for the same pass. `weight` may be derived (derived_weights.h).
// `rectified` is empty or, for kernels that finish their results, receives max(0, y) in addition to y.
using Conv2dForward = void(Context&, const Conv2dGeometry&, const LayerInput& x, const Tensor& weight,
                           const Tensor& bias, const Tensor& rectified, Tensor& workspace, Tensor& y);
// `rectified` is empty or, for kernels that finish their results, x, the output of a ReLU: dx becomes zero where it is
// not positive. It may be dx.
using Conv2dBackwardInput = void(Context&, const Conv2dGeometry&, const Tensor& dy, const Tensor& weight,
                                 const Tensor& rectified, Tensor& workspace, Tensor& dx);
// dbias may be empty.
using Conv2dBackwardWeight = void(Context&, const Conv2dGeometry&, const Tensor& x, const Tensor& dy, Tensor& workspace,
                                  Tensor& dweight, Tensor& dbias);

}  // namespace poise
