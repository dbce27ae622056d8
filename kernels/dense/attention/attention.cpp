// Products of small matrices, softmax and the gate of attention, on the CPU. Sums are in double.
#include "kernels/dense/attention/attention.h"

#include <algorithm>
#include <cmath>

#include "kernels/core/dispatch.h"
#include "kernels/core/dot.h"
#include "kernels/core/integer.h"
#include "kernels/core/simd.h"

namespace poise::cpu {

void batched_matmul(Context&, bool transpose_a, bool transpose_b, const Tensor& a, const Tensor& b, Tensor& c) {
  dispatch_stored(c.dtype, [&]<class T>() {
    const int64_t rows = c.shape[1], columns = c.shape[2], depth = transpose_a ? a.shape[1] : a.shape[2];
    const T *left = a.data<T>(), *right = b.data<T>();
    T* out = c.data<T>();
    parallel_for(c.shape[0] * rows, [=](int64_t task) {
      const int64_t n = task / rows, i = task % rows;
      const T *an = left + n * rows * depth, *bn = right + n * depth * columns;
      for (int64_t j = 0; j < columns; ++j) {
        double sum = 0;
        for (int64_t k = 0; k < depth; ++k) {
          const auto x = computed(transpose_a ? an[k * rows + i] : an[i * depth + k]);
          const auto y = computed(transpose_b ? bn[j * depth + k] : bn[k * columns + j]);
          sum += static_cast<double>(x) * static_cast<double>(y);
        }
        out[task * columns + j] = stored<T>(sum);
      }
    });
  });
}

void softmax_forward(Context&, const Tensor& x, Tensor& y) {
  dispatch_stored(x.dtype, [&]<class T>() {
    const int64_t n = x.shape.back();
    const T* in = x.data<T>();
    T* out = y.data<T>();
    parallel_for(x.shape.rows(), [=](int64_t row) {
      const T* from = in + row * n;
      T* to = out + row * n;
      const auto largest =
          computed(*std::max_element(from, from + n, [](const T& a, const T& b) { return computed(a) < computed(b); }));
      double sum = 0;
      for (int64_t i = 0; i < n; ++i) {
        const auto power = std::exp(computed(from[i]) - largest);
        to[i] = stored<T>(power);
        sum += static_cast<double>(power);
      }
      for (int64_t i = 0; i < n; ++i) to[i] = stored<T>(static_cast<double>(computed(to[i])) / sum);
    });
  });
}

void softmax_backward(Context&, const Tensor& y, const Tensor& dy, Tensor& dx) {
  dispatch_stored(y.dtype, [&]<class T>() {
    const int64_t n = y.shape.back();
    const T *out = y.data<T>(), *grad_out = dy.data<T>();
    T* grad_in = dx.data<T>();
    simd_for(y.shape.rows(), [=](int64_t row) {
      const T *value = out + row * n, *upstream = grad_out + row * n;
      const auto inner = static_cast<Computed<T>>(dot(value, upstream, n));
#pragma GCC ivdep
      for (int64_t i = 0; i < n; ++i) {
        grad_in[row * n + i] = stored<T>(computed(value[i]) * (computed(upstream[i]) - inner));
      }
    });
  });
}

void gated_add_forward(Context&, const Tensor& x, const Tensor& o, const Tensor& gate, Tensor& y) {
  dispatch_stored(x.dtype, [&]<class T>() {
    const T *in = x.data<T>(), *other = o.data<T>();
    T* out = y.data<T>();
    simd_chunks(x.elements(), kElementGrain, [=, g = *gate.data<Computed<T>>()](int64_t begin, int64_t end) {
#pragma GCC ivdep
      for (int64_t i = begin; i < end; ++i) out[i] = stored<T>(computed(in[i]) + g * computed(other[i]));
    });
  });
}

void gated_add_backward(Context&, const Tensor& o, const Tensor& gate, const Tensor& dy, Tensor& workspace,
                        Tensor& grad_o, Tensor& dgate) {
  dispatch_stored(o.dtype, [&]<class T>() {
    const int64_t n = o.elements(), grain = ceil_div(n, kGatedAddPartialSums);
    const T *other = o.data<T>(), *grad_out = dy.data<T>();
    T* grad_other = grad_o.data<T>();
    auto* partial = static_cast<double*>(workspace.bytes);
    simd_chunks(n, grain, [=, g = *gate.data<Computed<T>>()](int64_t begin, int64_t end) {
      partial[begin / grain] = dot(grad_out + begin, other + begin, end - begin);
#pragma GCC ivdep
      for (int64_t i = begin; i < end; ++i) grad_other[i] = stored<T>(g * computed(grad_out[i]));
    });
    double sum = 0;
    for (int64_t i = 0; i * grain < n; ++i) sum += partial[i];
    *dgate.data<Computed<T>>() = static_cast<Computed<T>>(sum);
  });
}

}  // namespace poise::cpu
