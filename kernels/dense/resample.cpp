// Enlargement by two on the CPU: one task per row of the small image, which is two rows of the large one.
#include "kernels/dense/resample.h"

#include "kernels/core/dispatch.h"
#include "kernels/core/simd.h"

namespace poise::cpu {

void upsample_nearest_2x_forward(Context&, const Tensor& x, Tensor& y) {
  dispatch_float(x.dtype, [&]<class T>() {
    const int64_t rows = x.shape[0] * x.shape[1], w = x.shape[2], c = x.shape[3];
    const T* small = x.data<T>();
    T* large = y.data<T>();
    simd_for(rows, [=](int64_t row) {
      const T* from = small + row * w * c;
      T* upper = large + row * 4 * w * c;  // two rows of twice the width
      for (int64_t q = 0; q < w; ++q) {
        std::copy_n(from + q * c, c, upper + 2 * q * c);
        std::copy_n(from + q * c, c, upper + (2 * q + 1) * c);
      }
      std::copy_n(upper, 2 * w * c, upper + 2 * w * c);
    });
  });
}

void upsample_nearest_2x_backward(Context&, const Tensor& dy, Tensor& dx) {
  dispatch_float(dx.dtype, [&]<class T>() {
    const int64_t rows = dx.shape[0] * dx.shape[1], w = dx.shape[2], c = dx.shape[3];
    const T* large = dy.data<T>();
    T* small = dx.data<T>();
    simd_for(rows, [=](int64_t row) {
      const T* upper = large + row * 4 * w * c;
      for (int64_t q = 0; q < w; ++q) {
        const T* a = upper + 2 * q * c;  // a b
        const T* b = a + c;              // d e
        const T* d = a + 2 * w * c;
        const T* e = d + c;
        T* to = small + (row * w + q) * c;
        prefetch(b + c, 2 * c);  // the next step's
        prefetch(e + c, 2 * c);
#pragma GCC ivdep
        for (int64_t i = 0; i < c; ++i) to[i] = (a[i] + b[i]) + (d[i] + e[i]);
      }
    });
  });
}

}  // namespace poise::cpu
