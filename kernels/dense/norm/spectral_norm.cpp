// Spectral normalisation on the CPU. One training pass reads the weight three times: W^T u by blocks of columns, W v by
// rows, and the division. Norms and inner products are summed in double.
#include "kernels/dense/norm/spectral_norm.h"

#include <algorithm>
#include <cmath>

#include "kernels/core/dispatch.h"
#include "kernels/core/dot.h"
#include "kernels/core/integer.h"
#include "kernels/core/simd.h"
#include "kernels/table.h"

namespace poise::cpu {
namespace {

constexpr int64_t kColumns = 128;   // columns of one task of W^T u
constexpr int64_t kRowGroups = 64;  // tasks of the passes that go by rows, at most

int64_t rows_per_group(int64_t rows) { return ceil_div(rows, kRowGroups); }

template <class T>
void scale_to_unit(T* vector, int64_t n, double eps) {
  const double factor = 1 / std::max(std::sqrt(dot(vector, vector, n)), eps);
  for (int64_t i = 0; i < n; ++i) vector[i] = static_cast<T>(static_cast<double>(vector[i]) * factor);
}

// v = W^T u
template <class T>
void multiply_transposed(int64_t out, int64_t rest, const T* w, const T* u, T* v) {
  simd_chunks(rest, kColumns, [=](int64_t begin, int64_t end) {
    double sum[kColumns] = {};
    for (int64_t o = 0; o < out; ++o) {
      const double factor = static_cast<double>(u[o]);
      const T* row = w + o * rest + begin;
      for (int64_t i = 0; i < end - begin; ++i) sum[i] += factor * static_cast<double>(row[i]);
    }
    for (int64_t i = begin; i < end; ++i) v[i] = static_cast<T>(sum[i - begin]);
  });
}

// u = W v
template <class T>
void multiply(int64_t out, int64_t rest, const T* w, const T* v, T* u) {
  simd_chunks(out, rows_per_group(out), [=](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o) u[o] = static_cast<T>(dot(w + o * rest, v, rest));
  });
}

template <class T>
void normalise(bool iterate, const SpectralNormLayer& layer) {
  const int64_t out = layer.u.elements(), rest = layer.v.elements();
  const T* w = layer.weight.data<T>();
  T* left = layer.u.data<T>();
  T* right = layer.v.data<T>();
  if (iterate) {
    multiply_transposed(out, rest, w, left, right);
    if (dot(right, right, rest) <= layer.eps * layer.eps) std::fill_n(right, rest, static_cast<T>(1));
    scale_to_unit(right, rest, layer.eps);
  }
  T* product = layer.u_used.data<T>();  // holds W v until sigma is known
  multiply(out, rest, w, right, product);
  if (iterate) {
    std::copy_n(product, out, left);
    scale_to_unit(left, out, layer.eps);
  }
  const double norm = dot(left, product, out);
  layer.sigma.data<T>()[0] = static_cast<T>(norm);
  std::copy_n(left, out, layer.u_used.data<T>());
  std::copy_n(right, rest, layer.v_used.data<T>());

  T* normed = layer.y.data<T>();
  const T inverse = static_cast<T>(1 / norm);
  simd_chunks(out * rest, kElementGrain, [=](int64_t begin, int64_t end) {
#pragma GCC ivdep
    for (int64_t i = begin; i < end; ++i) normed[i] = w[i] * inverse;
  });
}

template <class T>
void differentiate(const SpectralNormGradient& layer) {
  const int64_t out = layer.y.shape[0], rest = layer.y.elements() / out, group = rows_per_group(out);
  const T* normed = layer.y.data<T>();
  const T* grad_out = layer.dy.data<T>();
  double partial[kRowGroups] = {};
  double* partials = partial;
  simd_chunks(out, group, [=](int64_t begin, int64_t end) {
    partials[begin / group] = dot(grad_out + begin * rest, normed + begin * rest, (end - begin) * rest);
  });
  double inner = 0;
  for (double p : partial) inner += p;

  const T* left = layer.u_used.data<T>();
  const T* right = layer.v_used.data<T>();
  T* grad = layer.dweight.data<T>();
  const double inverse = 1 / static_cast<double>(layer.sigma.data<T>()[0]);
  simd_chunks(out, group, [=, factor = static_cast<T>(inverse)](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o) {
      const T along = static_cast<T>(inner * inverse * static_cast<double>(left[o]));
#pragma GCC ivdep
      for (int64_t i = 0; i < rest; ++i) grad[o * rest + i] = grad_out[o * rest + i] * factor - along * right[i];
    }
  });
}

}  // namespace

void spectral_norm_forward(Context& ctx, bool iterate, std::span<const SpectralNormLayer> layers, Tensor&) {
  for (const SpectralNormLayer& layer : layers) {
    dispatch_float(layer.weight.dtype, [&]<class T>() { normalise<T>(iterate, layer); });
    if (Tensor narrow = layer.narrow) convert(ctx, layer.y, narrow);
  }
}

void spectral_norm_backward(Context&, std::span<const SpectralNormGradient> layers, Tensor&) {
  for (const SpectralNormGradient& layer : layers) {
    dispatch_float(layer.y.dtype, [&]<class T>() { differentiate<T>(layer); });
  }
}

}  // namespace poise::cpu
