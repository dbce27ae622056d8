// Reductions over space on the CPU.
#include "kernels/dense/pooling.h"

#include "kernels/core/dispatch.h"
#include "kernels/core/simd.h"

namespace poise::cpu {

void avg_pool_2x2_forward(Context&, const Tensor& x, Tensor& y) {
  dispatch_float(y.dtype, [&]<class T>() {
    const int64_t rows = y.shape[0] * y.shape[1], w = y.shape[2], c = y.shape[3];
    const T* large = x.data<T>();
    T* small = y.data<T>();
    simd_for(rows, [=](int64_t row) {
      const T* upper = large + row * 4 * w * c;  // two rows of twice the width
      for (int64_t q = 0; q < w; ++q) {
        const T* a = upper + 2 * q * c;  // a b
        const T* b = a + c;              // d e
        const T* d = a + 2 * w * c;
        const T* e = d + c;
        T* to = small + (row * w + q) * c;
        prefetch(b + c, 2 * c);  // the next step's
        prefetch(e + c, 2 * c);
#pragma GCC ivdep
        for (int64_t i = 0; i < c; ++i) to[i] = T{0.25} * ((a[i] + b[i]) + (d[i] + e[i]));
      }
    });
  });
}

void avg_pool_2x2_backward(Context&, const Tensor& dy, Tensor& dx) {
  dispatch_float(dy.dtype, [&]<class T>() {
    const int64_t rows = dy.shape[0] * dy.shape[1], w = dy.shape[2], c = dy.shape[3];
    const T* small = dy.data<T>();
    T* large = dx.data<T>();
    simd_for(rows, [=](int64_t row) {
      T* upper = large + row * 4 * w * c;
      for (int64_t q = 0; q < w; ++q) {
        const T* from = small + (row * w + q) * c;
        T* left = upper + 2 * q * c;
        T* right = left + c;
#pragma GCC ivdep
        for (int64_t i = 0; i < c; ++i) left[i] = right[i] = T{0.25} * from[i];
      }
      std::copy_n(upper, 2 * w * c, upper + 2 * w * c);
    });
  });
}

namespace {
constexpr int64_t kChannels = 64;  // channels of one task
}

void sum_space_forward(Context&, double scale, const Tensor& x, Tensor& y) {
  dispatch_float(x.dtype, [&]<class T>() {
    const int64_t n = x.shape[0], pixels = x.shape[1] * x.shape[2], c = x.shape[3];
    const int64_t blocks = (c + kChannels - 1) / kChannels;
    const T* in = x.data<T>();
    T* out = y.data<T>();
    simd_for(n * blocks, [=](int64_t task) {
      const int64_t image = task / blocks, first = task % blocks * kChannels, channels = std::min(kChannels, c - first);
      double sum[kChannels] = {};
      for (int64_t pixel = 0; pixel < pixels; ++pixel) {
        const T* from = in + (image * pixels + pixel) * c + first;
        for (int64_t i = 0; i < channels; ++i) sum[i] += static_cast<double>(from[i]);
      }
      for (int64_t i = 0; i < channels; ++i) out[image * c + first + i] = static_cast<T>(scale * sum[i]);
    });
  });
}

void sum_space_backward(Context&, double scale, const Tensor& dy, Tensor& dx) {
  dispatch_float(dy.dtype, [&]<class T>() {
    const int64_t n = dx.shape[0], pixels = dx.shape[1] * dx.shape[2], c = dx.shape[3];
    const T* grad_out = dy.data<T>();
    T* grad_in = dx.data<T>();
    const T factor = static_cast<T>(scale);
    simd_for(n, [=](int64_t image) {
      const T* from = grad_out + image * c;
      for (int64_t pixel = 0; pixel < pixels; ++pixel) {
        T* to = grad_in + (image * pixels + pixel) * c;
#pragma GCC ivdep
        for (int64_t i = 0; i < c; ++i) to[i] = factor * from[i];
      }
    });
  });
}

}  // namespace poise::cpu
