// Spectral normalisation on the CPU. One training pass reads the weight three times: W^T u, W v, and the division. A
// layer that fits into the L2 cache is one task, which finds the weight there after the first read; larger ones are
// cut, pass by pass: W^T u by blocks of columns, W v by rows, the division by elements. Norms and inner products are
// summed in double, in the same order either way.
#include "kernels/dense/norm/spectral_norm.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/core/dispatch.h"
#include "kernels/core/dot.h"
#include "kernels/core/integer.h"
#include "kernels/core/simd.h"
#include "kernels/table.h"

namespace poise::cpu {
namespace {

constexpr int64_t kColumns = 128;                 // columns of one task of W^T u
constexpr int64_t kRowGroups = 64;                // maximum number of tasks in passes over rows
constexpr int64_t kTaskBytes = int64_t{1} << 20;  // the largest layer that is one task

int64_t rows_per_group(int64_t rows) { return ceil_div(rows, kRowGroups); }

template <class T>
void scale_to_unit(T* vector, int64_t n, double eps) {
  const double factor = 1 / std::max(std::sqrt(dot(vector, vector, n)), eps);
  for (int64_t i = 0; i < n; ++i) vector[i] = static_cast<T>(static_cast<double>(vector[i]) * factor);
}

const uint8_t* bytes_of(const Tensor& mask) { return mask ? mask.data<uint8_t>() : nullptr; }

// Calls f(begin, end) for each alive run of elements in begin..end-1, or once for all of them without a mask.
template <class F>
void for_alive(const uint8_t* alive, int64_t begin, int64_t end, F f) {
  if (!alive) return f(begin, end);
  for (int64_t i = begin; i < end; i += kLongestRun) {
    if (alive[i / kLongestRun]) f(i, i + kLongestRun);
  }
}

template <class T>
struct Layer {
  int64_t out, rest;
  double eps;
  const T* w;
  const uint8_t* alive;  // one byte per run, or null
  T *u, *v, *u_used, *v_used, *sigma, *y;
  double norm = 0;  // sigma, not rounded

  explicit Layer(const SpectralNormLayer& l)
      : out(l.u.elements()),
        rest(l.v.elements()),
        eps(l.eps),
        w(l.weight.data<T>()),
        alive(bytes_of(l.mask)),
        u(l.u.data<T>()),
        v(l.v.data<T>()),
        u_used(l.u_used.data<T>()),
        v_used(l.v_used.data<T>()),
        sigma(l.sigma.data<T>()),
        y(l.y.data<T>()) {}

  // v = W^T u, columns begin..end-1
  template <int64_t kMost = kColumns>
  void multiply_transposed(int64_t begin, int64_t end) const {
    double sum[kMost] = {};
    for (int64_t o = 0; o < out; ++o) {
      const double factor = static_cast<double>(u[o]);
      const int64_t first = o * rest + begin;
      for_alive(alive, first, first + end - begin, [&](int64_t from, int64_t to) {
        for (int64_t i = from; i < to; ++i) sum[i - first] += factor * static_cast<double>(w[i]);
      });
    }
    for (int64_t i = begin; i < end; ++i) v[i] = static_cast<T>(sum[i - begin]);
  }
  void finish_v() const {
    if (dot(v, v, rest) <= eps * eps) std::fill_n(v, rest, static_cast<T>(1));
    scale_to_unit(v, rest, eps);
  }
  // u_used = W v, rows begin..end-1; u_used holds the product until sigma is known
  void multiply(int64_t begin, int64_t end) const {
    for (int64_t o = begin; o < end; ++o) {
      DotSum sum;
      for_alive(alive, o * rest, (o + 1) * rest,
                [&](int64_t from, int64_t to) { sum.add(w + from, v + (from - o * rest), to - from); });
      u_used[o] = static_cast<T>(sum.total());
    }
  }
  void finish_u(bool iterate) {
    if (iterate) {
      std::copy_n(u_used, out, u);
      scale_to_unit(u, out, eps);
    }
    norm = dot(u, u_used, out);
    sigma[0] = static_cast<T>(norm);
    std::copy_n(u, out, u_used);
    std::copy_n(v, rest, v_used);
  }
  void divide(int64_t begin, int64_t end) const {
    const T inverse = static_cast<T>(1 / norm);
    if (alive) std::fill(y + begin, y + end, T{0});
    for_alive(alive, begin, end, [=, this](int64_t from, int64_t to) {
#pragma GCC ivdep
      for (int64_t i = from; i < to; ++i) y[i] = w[i] * inverse;
    });
  }

  bool fits() const { return out * rest * static_cast<int64_t>(sizeof(T)) <= kTaskBytes; }
  void normalise(bool iterate) {
    constexpr int64_t kMost = 2048;  // mostly whole rows: reading a narrow stripe of a matrix is slow
    if (iterate) {
      for (int64_t i = 0; i < rest; i += kMost) multiply_transposed<kMost>(i, std::min(rest, i + kMost));
      finish_v();
    }
    multiply(0, out);
    finish_u(iterate);
    divide(0, out * rest);
  }
};

// Calls f(layer, begin, end) over [0, size(layer)) of every layer, in chunks of grain(layer), as one parallel loop: a
// single layer is so little work that synchronising the threads would take longer.
template <class T, class Size, class Grain, class F>
void for_each_chunk(std::vector<Layer<T>>& layers, Size size, Grain grain, F f) {
  std::vector<int64_t> first{0};  // first chunk of each layer
  for (const Layer<T>& l : layers) first.push_back(first.back() + ceil_div(size(l), grain(l)));
  simd_for(first.back(), [=, firsts = first.data(), all = layers.data()](int64_t chunk) {
    int64_t number = 0;
    while (chunk >= firsts[number + 1]) ++number;
    Layer<T>& layer = all[number];
    const int64_t begin = (chunk - firsts[number]) * grain(layer);
    f(layer, begin, std::min(size(layer), begin + grain(layer)));
  });
}

template <class T>
void normalise(bool iterate, std::span<const SpectralNormLayer> operands) {
  using L = Layer<T>;
  std::vector<L> layers(operands.begin(), operands.end());
  const auto large = std::partition(layers.begin(), layers.end(), [](const L& l) { return l.fits(); });
  std::stable_sort(layers.begin(), large, [](const L& a, const L& b) { return a.out * a.rest > b.out * b.rest; });
  simd_for(large - layers.begin(), [=, all = layers.data()](int64_t i) { all[i].normalise(iterate); });
  layers.erase(layers.begin(), large);
  if (layers.empty()) return;
  const auto one = [](const L&) { return int64_t{1}; };
  const auto rows = [](const L& l) { return l.out; };
  if (iterate) {
    for_each_chunk(
        layers, [](const L& l) { return l.rest; }, [](const L&) { return kColumns; },
        [](const L& l, int64_t begin, int64_t end) { l.multiply_transposed(begin, end); });
    for_each_chunk(layers, one, one, [](const L& l, int64_t, int64_t) { l.finish_v(); });
  }
  for_each_chunk(
      layers, rows, [](const L& l) { return rows_per_group(l.out); },
      [](const L& l, int64_t begin, int64_t end) { l.multiply(begin, end); });
  for_each_chunk(layers, one, one, [=](L& l, int64_t, int64_t) { l.finish_u(iterate); });
  for_each_chunk(
      layers, [](const L& l) { return l.out * l.rest; }, [](const L&) { return kElementGrain; },
      [](const L& l, int64_t begin, int64_t end) { l.divide(begin, end); });
}

template <class T>
void differentiate(const SpectralNormGradient& layer) {
  const int64_t out = layer.y.shape[0], rest = layer.y.elements() / out, group = rows_per_group(out);
  const T* normed = layer.y.data<T>();
  const T* grad_out = layer.dy.data<T>();
  const uint8_t* alive = bytes_of(layer.mask);
  double partial[kRowGroups] = {};
  double* partials = partial;
  simd_chunks(out, group, [=](int64_t begin, int64_t end) {
    DotSum sum;
    for_alive(alive, begin * rest, end * rest,
              [&](int64_t from, int64_t to) { sum.add(grad_out + from, normed + from, to - from); });
    partials[begin / group] = sum.total();
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
      const T* right_of_row = right - o * rest;
      if (alive) std::fill_n(grad + o * rest, rest, T{0});
      for_alive(alive, o * rest, (o + 1) * rest, [=](int64_t from, int64_t to) {
#pragma GCC ivdep
        for (int64_t i = from; i < to; ++i) grad[i] = grad_out[i] * factor - along * right_of_row[i];
      });
    }
  });
}

}  // namespace

void spectral_norm_forward(Context& ctx, bool iterate, std::span<const SpectralNormLayer> layers, Tensor&) {
  if (layers.empty()) return;
  dispatch_float(layers.front().weight.dtype, [&]<class T>() { normalise<T>(iterate, layers); });
  for (const SpectralNormLayer& layer : layers) {
    if (Tensor narrow = layer.narrow) convert(ctx, layer.y, narrow);
  }
}

void spectral_norm_backward(Context&, std::span<const SpectralNormGradient> layers, Tensor&) {
  for (const SpectralNormGradient& layer : layers) {
    dispatch_float(layer.y.dtype, [&]<class T>() { differentiate<T>(layer); });
  }
}

}  // namespace poise::cpu
