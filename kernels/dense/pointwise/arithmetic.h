// Sums and copies. All tensors of one call have the same number of elements and the same dtype.
#pragma once
#include "kernels/core/context.h"

namespace poise {

using Add = void(Context&, const Tensor& a, const Tensor& b, Tensor& y);  // y = a + b; y may be a or b
using Copy = void(Context&, const Tensor& x, Tensor& y);                  // y = x
using Fill = void(Context&, double value, Tensor& y);                     // y = value

}  // namespace poise
