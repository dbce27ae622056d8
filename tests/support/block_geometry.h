// Convolutions that keep the size of their images, with channels counted in blocks.
#pragma once
#include "kernels/dense/conv2d/conv2d.h"

namespace poise {

constexpr int64_t kB = 16;  // block, where a test does not say otherwise

struct Images {
  int64_t n, h, w, in_blocks, out_blocks;
};

// With a kernel of k x k.
inline Conv2dGeometry geometry_of(const Images& s, int64_t k, int64_t upsample, int64_t block = kB) {
  return {.n = s.n,
          .h = s.h,
          .w = s.w,
          .c_in = s.in_blocks * block,
          .c_out = s.out_blocks * block,
          .kh = k,
          .kw = k,
          .pad_h = k / 2,
          .pad_w = k / 2,
          .upsample = upsample};
}

}  // namespace poise
