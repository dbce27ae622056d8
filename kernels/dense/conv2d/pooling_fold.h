// A 3x3 convolution (stride 1, padding 1) whose outputs are averaged over 2x2, as one convolution: the mirror of
// upsample_fold.h. Along one axis
//
//   (y[2p] + y[2p+1]) / 2 = sum_u x[2p + u - 1] folded[u],   folded[u] = (w[u-1] + w[u]) / 2,   u = 0 .. 3
//
// with w[-1] = w[3] = 0: four taps, stride 2, padding 1. 16 multiply-adds per mean where the plain sums have 36.
#pragma once
#include "kernels/dense/conv2d/upsample_fold.h"

namespace poise {

constexpr int kPooledTaps = 4;  // per axis

// The taps of the 3x3 kernel that fold into u = 0 .. 3.
POISE_HOST_DEVICE constexpr TapRange pooled_taps(int u) { return folded_taps(3, 3 - u); }
// Tap r folds into this u and the next one.
POISE_HOST_DEVICE constexpr int first_pooled_fold(int r) { return r; }

}  // namespace poise
