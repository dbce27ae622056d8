// Concatenates and slices along the channel dimension.
#pragma once
#include "kernels/core/context.h"

namespace poise {

// wide[...,first + c] = x[...,c].  x [rows...,C], wide [rows...,C'], first + C <= C'.
using InsertChannels = void(Context&, const Tensor& x, int64_t first, Tensor& wide);
// x[...,c] = wide[...,first + c]
using ExtractChannels = void(Context&, const Tensor& wide, int64_t first, Tensor& x);

}  // namespace poise
