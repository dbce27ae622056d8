// Maximum and mean over windows that may overlap and may extend past the edge of the image. Cells outside the image do
// not count: the maximum ignores them, and the mean divides by the number of cells inside (TensorFlow's SAME average
// pooling; PyTorch's count_include_pad=False).
//
//   window(p, q) = {(h, w) : 0 <= h - (p*stride - pad) < size, the same for w and q, inside the image}
//   max: y[n,p,q,c] = max of x[n,h,w,c] over the window, NaN if any is NaN
//        dx: dy to the first cell, in row order, that holds the maximum
//   avg: y[n,p,q,c] = mean of the same
//        dx: dy / cells to each cell
//
// x [N,H,W,C], y [N,out(H),out(W),C].
#pragma once
#include "kernels/core/context.h"
#include "kernels/core/host_device.h"

namespace poise {

struct PoolWindow {
  int64_t size = 1, stride = 1, pad = 0;  // pad < size, so that every window contains a cell

  POISE_HOST_DEVICE int64_t out(int64_t extent) const { return (extent + 2 * pad - size) / stride + 1; }
  // The cells of output p along an axis: begin .. end-1.
  POISE_HOST_DEVICE int64_t begin(int64_t p) const { return p * stride > pad ? p * stride - pad : 0; }
  POISE_HOST_DEVICE int64_t end(int64_t p, int64_t extent) const {
    const int64_t all = p * stride - pad + size;
    return all < extent ? all : extent;
  }
  // The outputs whose windows contain cell h along an axis: first_output .. last_output, none if first > last.
  POISE_HOST_DEVICE int64_t first_output(int64_t h) const { return h + pad < size ? 0 : (h + pad - size) / stride + 1; }
  POISE_HOST_DEVICE int64_t last_output(int64_t h, int64_t extent) const {
    const int64_t last = (h + pad) / stride, outputs = out(extent);
    return last < outputs ? last : outputs - 1;
  }
};

using MaxPoolForward = void(Context&, const PoolWindow&, const Tensor& x, Tensor& y);
using MaxPoolBackward = void(Context&, const PoolWindow&, const Tensor& x, const Tensor& y, const Tensor& dy,
                             Tensor& dx);
using AvgPoolForward = void(Context&, const PoolWindow&, const Tensor& x, Tensor& y);
using AvgPoolBackward = void(Context&, const PoolWindow&, const Tensor& dy, Tensor& dx);

}  // namespace poise
