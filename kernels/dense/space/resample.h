// Nearest-neighbour upsampling by two:  y[n,2p+a,2q+b,c] = x[n,p,q,c] for a, b in {0, 1}.  x [N,H,W,C], y [N,2H,2W,C].
// Only for layers that need the upsampled tensor itself; convolutions upsample while they read (conv2d.h).
#pragma once
#include "kernels/core/context.h"

namespace poise {

using UpsampleNearest2xForward = void(Context&, const Tensor& x, Tensor& y);
using UpsampleNearest2xBackward = void(Context&, const Tensor& dy, Tensor& dx);  // dx = sum of the four

}  // namespace poise
