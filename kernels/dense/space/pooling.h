// Reductions over space.
#pragma once
#include "kernels/core/context.h"

namespace poise {

// y[n,p,q,c] = mean of the 2x2 block of x.  x [N,2H,2W,C], y [N,H,W,C]. A last row or column of x beyond these is
// ignored.
using AvgPool2x2Forward = void(Context&, const Tensor& x, Tensor& y);
using AvgPool2x2Backward = void(Context&, const Tensor& dy, Tensor& dx);
// y[n,c] = scale * sum_{h,w} x[n,h,w,c]: scale 1 is the sum, 1/(H W) the mean.  x [N,H,W,C], y [N,C].
// If x is bf16, y is f32.
using SumSpaceForward = void(Context&, double scale, const Tensor& x, Tensor& y);
// With `masks` dx holds x, the output of a ReLU, and becomes the gradient before the ReLU.
using SumSpaceBackward = void(Context&, double scale, bool masks, const Tensor& dy, Tensor& dx);

}  // namespace poise
