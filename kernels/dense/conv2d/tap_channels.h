// A 3x3 convolution to very few channels, such as the last one of a generator, as a product with nine times as many and
// sums over shifted pixels, which fills the vectors of outputs:
//
//   z[p,q, 9 o + tap] = sum over i  w[o,tap,i] x[p,q,i],     y[p,q,o] = sum over taps  z[p+dr, q+dc, 9 o + tap]
//
// The weight [C_out,3,3,C_in] is already stored as the product needs it, [9 C_out, C_in]; pixels outside an image count
// as 0. The input gradient of a convolution from few channels, such as the first one of a discriminator, is computed in
// the same way, with [C_out, 9 C_in]:
//
//   z[p,q, C_in tap + i] = sum over o  w[o,tap,i] dy[p,q,o],   dx[p,q,i] = sum over taps  z[p-dr, q-dc, C_in tap + i]
#pragma once
#include <algorithm>
#include <cstdint>

#include "kernels/core/dispatch.h"
#include "kernels/core/simd.h"

namespace poise::cpu {

constexpr int64_t kTaps = 9;
constexpr int64_t kFewChannels = 4;  // at most. 4 use 36 of 48 lanes, instead of 4 of 16 in a plain convolution

// Calls f(tap, offset to the pixel it reads), for the taps whose pixel is inside the image.
template <class F>
void for_each_tap(int64_t h, int64_t w, int64_t p, int64_t q, const F& f) {
  for (int64_t tap = 0; tap < kTaps; ++tap) {
    const int64_t dr = tap / 3 - 1, dc = tap % 3 - 1;
    if (p + dr >= 0 && p + dr < h && q + dc >= 0 && q + dc < w) f(tap, dr * w + dc);
  }
}

// Where z stores the channels of the tap that reads at an offset. For an input gradient that is the opposite tap.
struct TapOrder {
  int64_t first;               // of the first tap
  int64_t of_tap, of_channel;  // strides
  static TapOrder outputs() { return {0, 1, kTaps}; }
  static TapOrder inputs(int64_t channels) { return {(kTaps - 1) * channels, -channels, 1}; }
};

// Computes y, or dx, from z (f32).
template <class T>
void sum_taps(const TapOrder& order, int64_t images, int64_t h, int64_t w, int64_t channels, const float* z, T* y) {
  simd([=] {
    for (int64_t pixel = 0; pixel < images * h * w; ++pixel) {
      float sums[kFewChannels] = {};
      for_each_tap(h, w, pixel / w % h, pixel % w, [&](int64_t tap, int64_t offset) {
        const float* from = z + (pixel + offset) * kTaps * channels + order.first + tap * order.of_tap;
        for (int64_t c = 0; c < channels; ++c) sums[c] += from[c * order.of_channel];
      });
      for (int64_t c = 0; c < channels; ++c) y[pixel * channels + c] = stored<T>(sums[c]);
    }
  })();
}

// The transpose of sum_taps with TapOrder::outputs(): copies dy to dz.
template <class T>
void spread_taps(int64_t images, int64_t h, int64_t w, int64_t channels, const T* dy, T* dz) {
  simd([=] {
    std::fill_n(dz, images * h * w * kTaps * channels, T{});
    for (int64_t pixel = 0; pixel < images * h * w; ++pixel) {
      for_each_tap(h, w, pixel / w % h, pixel % w, [&](int64_t tap, int64_t offset) {
        T* to = dz + (pixel + offset) * kTaps * channels + tap;
        for (int64_t o = 0; o < channels; ++o) to[o * kTaps] = dy[pixel * channels + o];
      });
    }
  })();
}

}  // namespace poise::cpu
