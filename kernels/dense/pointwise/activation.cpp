// Leaky ReLU and tanh on the CPU: element by element, in place where the caller passes the same tensor twice.
#include "kernels/dense/pointwise/activation.h"

#include "kernels/core/dispatch.h"
#include "kernels/core/parallel.h"
#include "kernels/core/simd.h"
#include "kernels/dense/pointwise/tangent.h"

namespace poise::cpu {

void leaky_relu_forward(Context&, float slope, const Tensor& x, Tensor& y) {
  dispatch_stored(x.dtype, [&]<class T>() {
    const T* in = x.data<T>();
    T* out = y.data<T>();
    const auto factor = static_cast<Computed<T>>(slope);
    simd_chunks(x.elements(), kElementGrain, [=](int64_t begin, int64_t end) {
#pragma GCC ivdep
      for (int64_t i = begin; i < end; ++i) {
        const auto value = computed(in[i]), leaked = factor * value;
        out[i] = stored<T>(value > 0 ? value : leaked);
      }
    });
  });
}

void leaky_relu_backward(Context&, float slope, const Tensor& y, const Tensor& dy, Tensor& dx) {
  dispatch_stored(y.dtype, [&]<class T>() {
    const T* out = y.data<T>();
    const T* grad_out = dy.data<T>();
    T* grad_in = dx.data<T>();
    const auto factor = static_cast<Computed<T>>(slope);
    simd_chunks(y.elements(), kElementGrain, [=](int64_t begin, int64_t end) {
#pragma GCC ivdep
      for (int64_t i = begin; i < end; ++i) {
        const auto upstream = computed(grad_out[i]), leaked = factor * upstream;
        grad_in[i] = stored<T>(computed(out[i]) > 0 ? upstream : leaked);
      }
    });
  });
}

void tanh_forward(Context&, const Tensor& x, Tensor& y) {
  constexpr int64_t kTanhGrain = 4096;  // images are small
  dispatch_stored(x.dtype, [&]<class T>() {
    const T* in = x.data<T>();
    T* out = y.data<T>();
    simd_chunks(x.elements(), kTanhGrain, [=](int64_t begin, int64_t end) {
#pragma GCC ivdep
      for (int64_t i = begin; i < end; ++i) out[i] = stored<T>(tangent(computed(in[i])));
    });
  });
}

void tanh_backward(Context&, const Tensor& y, const Tensor& dy, Tensor& dx) {
  dispatch_stored(y.dtype, [&]<class T>() {
    const T* out = y.data<T>();
    const T* grad_out = dy.data<T>();
    T* grad_in = dx.data<T>();
    simd_chunks(y.elements(), kElementGrain, [=](int64_t begin, int64_t end) {
#pragma GCC ivdep
      for (int64_t i = begin; i < end; ++i) {
        const auto value = computed(out[i]);
        grad_in[i] = stored<T>(computed(grad_out[i]) * (1 - value * value));
      }
    });
  });
}

}  // namespace poise::cpu
