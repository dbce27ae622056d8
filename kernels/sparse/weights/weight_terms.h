// A convolution (kernels/dense/conv2d/conv2d.h) as sums of shifted planes, which is all that execution weight by weight
// needs to know of it.
//
// A stride s cuts x into s*s phases, planes of every s-th row and column; an enlargement u cuts y into u*u phases. Each
// pair of phases is then a plain convolution, and the whole is
//
//   y[o, out_phase][p, q] = sum over terms, channels i  x[i, in_phase][p + dr, q + dc] * w[o, r, s, i]
//
// with one term per tap (r, s).
//
// A pooled 3x3 convolution reads sums of windows of x, and one of an enlarged image writes such sums of y, as in
// kernels/dense/conv2d/window_sums.h. An alive weight then costs one multiply-add per pixel of the small image, where
// plain sums need four, and folded weights up to four if few are alive. Along one axis, where t is the tensor and s is
// what the terms read or write,
//
//   read     s[u] = t[u] + t[u+1],   u = -1 ..         written  t[u] = s[u-1] + s[u]
//
// A 1x1 convolution of an enlarged image is one of the small image whose output is repeated.
#pragma once
#include "kernels/core/integer.h"
#include "kernels/dense/conv2d/conv2d.h"

namespace poise {

struct WeightTerm {
  int out_phase = 0, in_phase = 0;
  int dr = 0, dc = 0;
  int r = 0, s = 0;  // its tap
};

// One side of the convolution, x or y: a tensor [N, h, w, channels]. Pixel (p, q) of phase (a, b), which has the number
// a * scale_w + b, is at (p * scale_h + a, q * scale_w + b).
struct WeightSide {
  int64_t h = 1, w = 1, channels = 1, scale_h = 1, scale_w = 1;
  int phases = 1;
  bool repeats = false;  // a single phase; the others are copies of it
  bool windows = false;  // four phases of sums of 2x2 pixels, as above
  float share = 1;       // the factor of these sums
  int64_t grid_h() const { return ceil_div(h, scale_h); }
  int64_t grid_w() const { return ceil_div(w, scale_w); }
  int64_t planes() const { return phases * channels; }
};

struct WeightTerms {
  static constexpr int kMost = 64;

  explicit WeightTerms(const Conv2dGeometry& geometry);  // one that weights_conv2d_serves()
  const WeightTerm* begin() const { return terms; }
  const WeightTerm* end() const { return terms + count; }
  // No pixel reads another, so pixels of all images are alike.
  bool pointwise() const { return count == 1 && x.phases == 1 && !terms[0].dr && !terms[0].dc; }

  int count = 0;
  WeightTerm terms[kMost];
  WeightSide x, y;
};

// Whether this path computes the convolution: any kernel of up to 64 taps (16 per axis), strides up to 8, any padding,
// upsample 1 or 2, pool 2 after a 3x3 kernel, and as many channels as a two-byte code per weight can name.
bool weights_conv2d_serves(const Conv2dGeometry& geometry);

}  // namespace poise
