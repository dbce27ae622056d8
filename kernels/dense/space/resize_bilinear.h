// Images for the Inception network: resized bilinearly as TensorFlow 1 does it (ResizeBilinear, align_corners=False),
// which is what published FID and IS use, and scaled to [-1, 1).
//
//   s = f32(h) / f32(H);   a = p * s;   low = floor(a);   high = min(low + 1, h - 1);   t = a - low
//                                                                        for output row p; columns the same
//   r = interpolated along columns in both rows, then along rows:  v0 + (v1 - v0) * t
//   y = (r - 128) / 128
//
// The corners of pixels coincide, not their centres; there is no antialiasing, and t is computed in f32. The scale is
// TensorFlow's for Inception; training uses x / 127.5 - 1 (train/gather_images.h).
//
// images u8 [N,h,w,C], y [N,H,W,C].
#pragma once
#include "kernels/core/context.h"
#include "kernels/core/host_device.h"

namespace poise {

using ResizeBilinear = void(Context&, const Tensor& images, Tensor& y);

// The two source pixels of one output pixel along one axis.
struct BilinearTap {
  int64_t low, high;
  float t;
  POISE_HOST_DEVICE static BilinearTap of(int64_t position, int64_t from, int64_t to) {
    const float at = static_cast<float>(position) * (static_cast<float>(from) / static_cast<float>(to));
    const auto low = static_cast<int64_t>(at);
    return {low, low + 1 < from ? low + 1 : from - 1, at - static_cast<float>(low)};
  }
};

}  // namespace poise
