// Element-wise non-linearities. All tensors of one call have the same shape and dtype.
#pragma once
#include "kernels/core/context.h"

namespace poise {

// y = x > 0 ? x : slope * x                       slope in [0, 1); 0 is the plain ReLU
using LeakyReluForward = void(Context&, float slope, const Tensor& x, Tensor& y);
// dx = dy * (y > 0 ? 1 : slope)                   y > 0 exactly where x > 0
using LeakyReluBackward = void(Context&, float slope, const Tensor& y, const Tensor& dy, Tensor& dx);
// y = tanh(x)
using TanhForward = void(Context&, const Tensor& x, Tensor& y);
// dx = dy * (1 - y^2)
using TanhBackward = void(Context&, const Tensor& y, const Tensor& dy, Tensor& dx);

}  // namespace poise
