// Differentiable augmentation (Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training", 2020):
// random changes to all images that D sees, real or fake, which gradients pass through. Per image, in this order:
//
//   colour       x + b,  then m + s (x - m),  then M + c (x - M)
//                m: mean over the channels of a pixel, M: mean of the image
//                b in (-1/2, 1/2), s in (0, 2), c in (1/2, 3/2), f32 numbers
//   translation  by whole pixels, up to round(H/8) and round(W/8) either way, zeros from outside
//   cutout       zeros in a rectangle of round(H/2) x round(W/2), which may reach over an edge
//
// Together, where p' = p + shift is the pixel that p shows (y[p] = 0 if p' is outside or p is cut out):
//   y[p] = b + (1 - c) M + c (1 - s) m[p'] + c s x[p']
// Its transpose, with g[p'] = dy[p] (0 where no p shows p'), m and M now means of g:
//   dx[p'] = (1 - c) M + c (1 - s) m[p'] + c s g[p']
//
// x, y, dy, dx [N,H,W,C]. The numbers of image i are a function of (seed, StepState::step, first_image + i): the
// backward pass of a step draws them again, and nothing is stored.
#pragma once
#include "kernels/core/context.h"
#include "kernels/core/philox.h"

namespace poise {

struct DiffAugmentOptions {
  bool color = false, translation = false, cutout = false;
  int64_t first_image = 0;  // index of x's first image among all that the step augments

  bool any() const { return color || translation || cutout; }
};

using DiffAugmentForward = void(Context&, const DiffAugmentOptions&, const Tensor& x, Tensor& y);
using DiffAugmentBackward = void(Context&, const DiffAugmentOptions&, const Tensor& dy, Tensor& dx);

// The transformation of one image. The part of a policy that is off is the identity.
struct Augmentation {
  float brightness = 0, saturation = 1, contrast = 1;  // b, s, c
  int shift_h = 0, shift_w = 0;
  int cut_top = 0, cut_bottom = 0, cut_left = 0, cut_right = 0;  // rows [top, bottom) and columns [left, right) are 0

  POISE_HOST_DEVICE constexpr bool cut(int row, int column) const {
    return row >= cut_top && row < cut_bottom && column >= cut_left && column < cut_right;
  }
};

// Uniform in 0 .. count-1.
POISE_HOST_DEVICE constexpr int integer_below(uint32_t bits, int count) {
  return static_cast<int>((static_cast<uint64_t>(bits) * static_cast<uint64_t>(count)) >> 32);
}

// Two Philox calls per image: {b, s, c, -}, {shift_h, shift_w, row, column of the cut's centre}.
POISE_HOST_DEVICE constexpr Augmentation augmentation_of(const DiffAugmentOptions& options, const StepState& step,
                                                         int64_t image, int h, int w) {
  const uint64_t element = 2 * static_cast<uint64_t>(options.first_image + image);
  constexpr auto kStream = static_cast<uint32_t>(RandomStream::diff_augment);
  Augmentation a;
  if (options.color) {
    const Philox4 bits = philox4x32(step.seed, element, kStream, step.step);
    a.brightness = uniform_open(bits.x[0]) - 0.5f;
    a.saturation = 2 * uniform_open(bits.x[1]);
    a.contrast = uniform_open(bits.x[2]) + 0.5f;
  }
  const Philox4 bits = philox4x32(step.seed, element + 1, kStream, step.step);
  if (options.translation) {
    const int most_h = (h + 4) / 8, most_w = (w + 4) / 8;
    a.shift_h = integer_below(bits.x[0], 2 * most_h + 1) - most_h;
    a.shift_w = integer_below(bits.x[1], 2 * most_w + 1) - most_w;
  }
  if (options.cutout) {
    const int size_h = (h + 1) / 2, size_w = (w + 1) / 2;
    const int top = integer_below(bits.x[2], h + 1 - size_h % 2) - size_h / 2;
    const int left = integer_below(bits.x[3], w + 1 - size_w % 2) - size_w / 2;
    a.cut_top = top < 0 ? 0 : top;
    a.cut_bottom = top + size_h > h ? h : top + size_h;
    a.cut_left = left < 0 ? 0 : left;
    a.cut_right = left + size_w > w ? w : left + size_w;
  }
  return a;
}

}  // namespace poise
