// Sums of 2x2 neighbours commute with a convolution. So a 3x3 convolution whose output is pooled is a convolution of
// stride 2 over the 2x2 means at all pixels of x. A 3x3 convolution of a 2x upsampled image is a convolution of the
// image with zeros between its pixels, of which a tap reads one in four, summed up afterwards. Either way a weight
// costs one multiply-add per pixel of the small image, where folded taps (upsample_fold.h, pooling_fold.h) cost 16/9.
//
// Along one axis, t is the large image of 2P pixels (2P + 1 if pooling drops one), and s are its 2P + 1 windows:
//
//   s[k] = t[k-1] + t[k]     s from t: the pooled layer's x, and the gradient of the upsampling layer's y
//   t[u] = s[u] + s[u+1]     t from s: the upsampling layer's y, and the gradient of the pooled layer's x
#pragma once
#include "kernels/core/simd.h"
#include "kernels/dense/conv2d/row_sums.h"

namespace poise::cpu {

template <class T>
struct ImageRows {
  int64_t h, w;  // of an image
  T* data;       // [images, h, w, channels]
};

// to[p,q] = factor * sum of from[p + a - before, q + b - before] over a, b in {0, 1}; zero outside. On one thread.
template <class To, class From>
void sum_windows(int64_t images, int64_t channels, int64_t before, Computed<To> factor, const ImageRows<From>& from,
                 const ImageRows<To>& to) {
  simd([=](int64_t rows) {
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t image = row / to.h, p = row % to.h - before;
      for (int64_t q = 0; q < to.w; ++q) {
        Rows<From> pixels;
        for (int64_t r = std::max<int64_t>(p, 0); r <= std::min(p + 1, from.h - 1); ++r) {
          for (int64_t s = std::max<int64_t>(q - before, 0); s <= std::min(q - before + 1, from.w - 1); ++s) {
            pixels.add(from.data + ((image * from.h + r) * from.w + s) * channels);
          }
        }
        To* pixel = to.data + (row * to.w + q) * channels;
        if (pixels.count == 0) {
          std::fill_n(pixel, channels, To{});
        } else {
          sum_rows(pixels, factor, channels, pixel);
        }
      }
    }
  })(images * to.h);
}

}  // namespace poise::cpu
