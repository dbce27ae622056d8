#include "kernels/dense/conditional/row_dot.h"

#include "kernels/core/dispatch.h"
#include "kernels/core/dot.h"
#include "kernels/core/simd.h"

namespace poise::cpu {

void row_dot(Context&, const Tensor& a, const Tensor& b, Tensor& y) {
  dispatch_float(a.dtype, [&]<class T>() {
    const int64_t c = a.shape[1];
    const T *left = a.data<T>(), *right = b.data<T>();
    T* out = y.data<T>();
    simd_for(a.shape[0], [=](int64_t n) { out[n] = static_cast<T>(dot(left + n * c, right + n * c, c)); });
  });
}

void scale_rows(Context&, const Tensor& scale, const Tensor& x, Tensor& y) {
  dispatch_float(x.dtype, [&]<class T>() {
    const int64_t c = x.shape[1];
    const T *factors = scale.data<T>(), *in = x.data<T>();
    T* out = y.data<T>();
    simd_for(x.shape[0], [=](int64_t n) {
#pragma GCC ivdep
      for (int64_t i = 0; i < c; ++i) out[n * c + i] = factors[n] * in[n * c + i];
    });
  });
}

}  // namespace poise::cpu
