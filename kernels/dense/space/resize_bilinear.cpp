// One task per row of the result. Compiled without contraction, f32 gives TensorFlow's bits.
#include "kernels/dense/space/resize_bilinear.h"

#include "kernels/core/dispatch.h"
#include "kernels/core/simd.h"

namespace poise::cpu {

void resize_bilinear(Context&, const Tensor& images, Tensor& y) {
  dispatch_stored(y.dtype, [&]<class T>() {
    const int64_t h = images.shape[1], w = images.shape[2], c = images.shape[3];
    const int64_t out_h = y.shape[1], out_w = y.shape[2];
    const uint8_t* in = images.data<uint8_t>();
    T* out = y.data<T>();
    using Number = Computed<T>;
    simd_for(y.shape[0] * out_h, [=](int64_t task) {
      const BilinearTap vertical = BilinearTap::of(task % out_h, h, out_h);
      const uint8_t* image = in + task / out_h * h * w * c;
      const uint8_t *upper = image + vertical.low * w * c, *lower = image + vertical.high * w * c;
      const auto down = static_cast<Number>(vertical.t);
      T* to = out + task * out_w * c;
      for (int64_t q = 0; q < out_w; ++q) {
        const BilinearTap tap = BilinearTap::of(q, w, out_w);
        const auto right = static_cast<Number>(tap.t);
        for (int64_t i = 0; i < c; ++i) {
          const int64_t a = tap.low * c + i, b = tap.high * c + i;
          const auto above = static_cast<Number>(upper[a]) + static_cast<Number>(upper[b] - upper[a]) * right;
          const auto below = static_cast<Number>(lower[a]) + static_cast<Number>(lower[b] - lower[a]) * right;
          *to++ = stored<T>((above + (below - above) * down - Number{128}) / Number{128});
        }
      }
    });
  });
}

}  // namespace poise::cpu
