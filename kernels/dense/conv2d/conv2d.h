// Two-dimensional convolution (cross-correlation, as in PyTorch), NHWC, zero padding, optionally of a nearest-neighbour
// enlarged input:
//
//   y[n,p,q,o] = b[o] + sum_{r,s,i} u[n, p*stride_h + r - pad_h, q*stride_w + s - pad_w, i] * w[o,r,s,i]
//   u[n,a,b,i] = x[n, a/upsample, b/upsample, i]        (zero outside)
//
// and, with relu, max(0, y): the sums are then rectified on their way to memory. With pool 2 the op's output is the mean of
// each 2x2 of y (a last odd row or column is left out); kernels compute another form of it (below).
//
// x [N,H,W,C_in], w [C_out,kh,kw,C_in], b [C_out] or empty, y [N,out_h,out_w,C_out].
//
// The enlargement belongs to the convolution because no kernel needs the enlarged tensor: an implicit GEMM reads x at
// half the coordinate, and a 3x3 convolution of a twice enlarged image is four 2x2 convolutions of the small image (one
// per output parity, on sums of the taps), 4/9 of the arithmetic, or, on the CPU, one with stride 2 and sums of windows,
// 1/4 of it (window_sums.h).
#pragma once
#include "kernels/core/context.h"
#include "kernels/core/layer_input.h"

namespace poise {

struct Conv2dGeometry {
  int64_t n = 0, h = 0, w = 0, c_in = 0;  // the stored input, before enlargement
  int64_t c_out = 0, kh = 1, kw = 1;
  int64_t stride_h = 1, stride_w = 1, pad_h = 0, pad_w = 0;
  int64_t upsample = 1;  // 1 or 2
  int64_t pool = 1;      // 1 or 2
  bool relu = false;     // of the forward pass. The other passes expect a dy that has passed the ReLU
  // Asked of kernels that finish their results (finishes_results() in engine/ops/layer_pass.h). All are rounded once.
  bool adds = false;   // to what y holds; dense kernels: backward_input, to what dx holds
  bool masks = false;  // backward_input: dx holds x, the output of a ReLU, and becomes the gradient before the ReLU

  int64_t sum_h() const { return (h * upsample + 2 * pad_h - kh) / stride_h + 1; }  // before pooling
  int64_t sum_w() const { return (w * upsample + 2 * pad_w - kw) / stride_w + 1; }
  int64_t out_h() const { return sum_h() / pool; }
  int64_t out_w() const { return sum_w() / pool; }
  Shape x_shape() const { return {n, h, w, c_in}; }
  Shape weight_shape() const { return {c_out, kh, kw, c_in}; }
  Shape y_shape() const { return {n, out_h(), out_w(), c_out}; }
  // Is it a k x k convolution (k odd) whose output is as large as its enlarged input? Enlargement goes with 1x1 and
  // 3x3.
  bool keeps_size(int64_t k) const {
    return kh == k && kw == k && stride_h == 1 && stride_w == 1 && pad_h == k / 2 && pad_w == k / 2;
  }
  bool enlargement_allowed() const { return upsample == 1 || (upsample == 2 && (keeps_size(1) || keeps_size(3))); }
  bool pooling_allowed() const {
    return pool == 1 || (pool == 2 && upsample == 1 && !relu && (keeps_size(1) || keeps_size(3)) && h > 1 && w > 1);
  }
  // As kernels compute it. A 1x1 convolution commutes with pooling: the same convolution of the pooled x, for all kernels.
  // A 3x3 one is computed by dense kernels as such: in f64 sum by sum, otherwise on the CPU after sums of windows
  // (window_sums.h), on GPUs with stride 2 and folded weights (pooling_fold.h). Single weights have weights_form()
  // (kernels/sparse/weights/). Block kernels, whose lists of what is alive are of the weight as it is, compute the sums: on
  // the CPU region by region, pooled before they return to memory, on a GPU as a plain convolution, pooled afterwards.
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

// What a kernel will need and do for one pass: asked before a step runs, so that plans and captured graphs know.
struct Conv2dPlan {
  size_t workspace_bytes = 0;
  double executed_macs = 0;
};
// Do the dense kernels what `adds`, and their operand `rectified`, ask for? Elsewhere they are not asked.
using Conv2dFinishes = bool(const Context&);
constexpr const char* kDoesNotFinish = "dense kernels on the CPU leave the ReLU to others";  // if they are
// May x be normalised on the way in, to be `written`? Elsewhere it is not.
using Conv2dNormalises = bool(const Context&, DType);
using Conv2dPlanner = Conv2dPlan(const Context&, const Conv2dGeometry&, DType, Pass);

// `workspace` has the bytes that the planner asked for in the same pass. `weight` may be derived (derived_weights.h).
// `rectified` is empty, or, for kernels that finish their results, receives max(0, y) beside y.
using Conv2dForward = void(Context&, const Conv2dGeometry&, const LayerInput& x, const Tensor& weight,
                           const Tensor& bias, const Tensor& rectified, Tensor& workspace, Tensor& y);
// `rectified` is empty, or, for kernels that finish their results, x, the output of a ReLU: zero where it is not positive. It
// may be dx.
using Conv2dBackwardInput = void(Context&, const Conv2dGeometry&, const Tensor& dy, const Tensor& weight,
                                 const Tensor& rectified, Tensor& workspace, Tensor& dx);
// dbias may be empty.
using Conv2dBackwardWeight = void(Context&, const Conv2dGeometry&, const Tensor& x, const Tensor& dy, Tensor& workspace,
                                  Tensor& dweight, Tensor& dbias);

}  // namespace poise
