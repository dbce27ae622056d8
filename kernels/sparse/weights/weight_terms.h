// A convolution (kernels/dense/conv2d/conv2d.h) as sums of shifted planes, which is all that execution weight by weight
// needs to know of it.
//
// A stride s cuts x into s*s phases, planes of every s-th row and column; an enlargement u cuts y into u*u phases. Each
// pair of phases is then a plain convolution, and the whole is
//
//   y[o, out_phase][p, q] = sum over terms, channels i  x[i, in_phase][p + dr, q + dc] * (sum of w over the term's taps)
//
// A term has more than one tap where an image is enlarged and taps meet the same pixel of the small one. A 1x1
// convolution of an enlarged image is one of the small image whose output is repeated.
#pragma once
#include "kernels/core/integer.h"
#include "kernels/dense/conv2d/conv2d.h"

namespace poise {

struct WeightTerm {
  int out_phase = 0, in_phase = 0;
  int dr = 0, dc = 0;
  int first_r = 0, last_r = 0, first_s = 0, last_s = 0;  // taps
  bool sums() const { return first_r != last_r || first_s != last_s; }
};

// One side of the convolution, x or y: a tensor [N, h, w, channels] whose pixel (p, q) of phase (a, b), numbered
// a * scale_w + b, lies at (p * scale_h + a, q * scale_w + b).
struct WeightSide {
  int64_t h = 1, w = 1, channels = 1, scale_h = 1, scale_w = 1;
  int phases = 1;
  bool repeats = false;  // a single phase, and the others are its copies
  int64_t grid_h() const { return ceil_div(h, scale_h); }
  int64_t grid_w() const { return ceil_div(w, scale_w); }
  int64_t planes() const { return phases * channels; }
};

struct WeightTerms {
  static constexpr int kMost = 64;

  explicit WeightTerms(const Conv2dGeometry& geometry);  // one that weights_conv2d_serves()
  const WeightTerm* begin() const { return terms; }
  const WeightTerm* end() const { return terms + count; }
  // No pixel meets another: pixels of all images are alike.
  bool pointwise() const { return count == 1 && x.phases == 1 && !terms[0].dr && !terms[0].dc; }

  int count = 0;
  WeightTerm terms[kMost];
  WeightSide x, y;
};

// Does the path compute this convolution? Any kernel of up to 64 terms, any stride and padding, upsample 1 or 2, and as
// many channels as a list of two bytes per weight can name.
bool weights_conv2d_serves(const Conv2dGeometry& geometry);

}  // namespace poise
