// One thread per element of the result, or per 16 bytes where the channels allow it; neighbouring threads handle
// neighbouring elements. Bytes: operands and results once.
#include "kernels/dense/conv2d/conv2d_passes.h"

#include "kernels/gpu/elementwise.cuh"
#include "kernels/gpu/ending.cuh"

namespace poise::POISE_GPU {
namespace {

template <class T>
__global__ void pad_channels_kernel(int64_t rows, int channels, int padded, const T* from, T* to) {
  for_each_element(rows * padded, [&](int64_t i) {
    const int64_t row = i / padded;
    const int c = static_cast<int>(i - row * padded);
    to[i] = c < channels ? from[row * channels + c] : from_float<T>(0);
  });
}

// Stores element e of the result, which belongs to `channel`.
template <class T>
__device__ inline void store_sum(float sum, const Ending& ending, int channel, T* y, int64_t e) {
  const float bias[1] = {ending.bias ? ending.bias[channel] : 0.0f};
  store_ending(ending, Vector<float, 1>{sum}, bias, Neighbours<1>{e, 1, true}, y);
}

template <class T>
__global__ void sum_splits_kernel(int64_t elements, int channels, int splits, const float* partial, Ending ending,
                                  T* y) {
  for_each_element(elements, [&](int64_t e) {
    float sum = 0;
    for (int split = 0; split < splits; ++split) sum += partial[split * elements + e];
    store_sum(sum, ending, static_cast<int>(e % channels), y, e);
  });
}

template <class T>
__global__ void sum_taps_kernel(TapSums t, Ending ending, T* y) {
  const int64_t elements = int64_t{t.images} * t.source_h * t.source_w * t.columns;
  for_each_element(int64_t{t.images} * t.y_h * t.y_w * t.channels, [&](int64_t e) {
    const int c = static_cast<int>(e % t.channels), pixel = static_cast<int>(e / t.channels);
    const int q = pixel % t.y_w, p = pixel / t.y_w % t.y_h, image = pixel / t.y_w / t.y_h;
    float sum = 0;
    for (int r = 0; r < t.kh; ++r) {
      const int h = p + t.sign * (r - t.pad_h);
      if (h < 0 || h >= t.source_h) continue;
      for (int s = 0; s < t.kw; ++s) {
        const int w = q + t.sign * (s - t.pad_w);
        if (w < 0 || w >= t.source_w) continue;
        const int64_t at = ((int64_t{image} * t.source_h + h) * t.source_w + w) * t.columns + c * t.per_channel +
                           (r * t.kw + s) * t.per_tap;
        for (int split = 0; split < t.splits; ++split) sum += t.partial[split * elements + at];
      }
    }
    store_sum(sum, ending, c, y, e);
  });
}

// Threads follow the partial sums, N neighbours each, because these outnumber the results, and scatter the results.
// Elements past those of dweight belong to dbias.
template <int N>
__global__ void finish_weight_gradient_kernel(WeightShape shape, WeightPartials p, float* dweight, float* dbias) {
  const int taps_h = shape.taps_h(), taps_w = shape.taps_w();
  const int fast = p.gathers_y ? shape.c_out : shape.c_in, slow = p.gathers_y ? shape.c_in : shape.c_out;
  const int64_t elements = int64_t{p.rows} * taps_h * taps_w * p.columns;
  const int copies = shape.folds() ? 2 : 1, vectors = fast / N;
  const int64_t weights = int64_t{slow} * shape.kh * shape.kw * vectors;
  for_each_element(weights + (dbias ? shape.c_out : 0), [&](int64_t e) {
    if (e >= weights) {
      dbias[e - weights] = p.bias.total(static_cast<int>(e - weights));
      return;
    }
    const int f = static_cast<int>(e % vectors) * N, rest = static_cast<int>(e / vectors);
    const int s = rest % shape.kw, r = rest / shape.kw % shape.kh, l = rest / shape.kw / shape.kh;
    const int u = shape.first_of(shape.kh, r), v = shape.first_of(shape.kw, s);
    Vector<float, N> sum{};
    for (int a = u; a < u + copies; ++a) {
      for (int b = v; b < v + copies; ++b) {
        const int64_t at = ((int64_t{l} * taps_h + a) * taps_w + b) * p.columns + f;
        for (int split = 0; split < p.splits; ++split) {
          const auto part = load_vector<N>(p.partial + split * elements + at);
#pragma unroll
          for (int k = 0; k < N; ++k) sum[k] += part[k];
        }
      }
    }
#pragma unroll
    for (int k = 0; k < N; ++k) sum[k] *= shape.factor();
    const auto place = [&](int o, int i) { return ((int64_t{o} * shape.kh + r) * shape.kw + s) * shape.c_in + i; };
    if (!p.gathers_y) return store_vector(dweight + place(l, f), sum);
#pragma unroll
    for (int k = 0; k < N; ++k) dweight[place(f + k, l)] = sum[k];
  });
}

}  // namespace

void pad_channels(Context& ctx, DType dtype, int64_t rows, int64_t channels, int64_t padded, const void* from,
                  void* to) {
  dispatch_stored(dtype, [&]<class T>() {
    launch(ctx, elementwise(rows * padded), pad_channels_kernel<T>, rows, static_cast<int>(channels),
           static_cast<int>(padded), static_cast<const T*>(from), static_cast<T*>(to));
  });
}

void sum_splits(Context& ctx, DType dtype, int64_t elements, int64_t channels, int splits, const float* partial,
                const Ending& ending, void* y) {
  dispatch_stored(dtype, [&]<class T>() {
    launch(ctx, elementwise(elements), sum_splits_kernel<T>, elements, static_cast<int>(channels), splits, partial,
           ending, static_cast<T*>(y));
  });
}

void sum_taps(Context& ctx, DType dtype, const TapSums& sums, const Ending& ending, void* y) {
  dispatch_stored(dtype, [&]<class T>() {
    launch(ctx, elementwise(int64_t{sums.images} * sums.y_h * sums.y_w * sums.channels), sum_taps_kernel<T>, sums,
           ending, static_cast<T*>(y));
  });
}

void finish_weight_gradient(Context& ctx, const WeightShape& shape, const WeightPartials& partials, float* dweight,
                            float* dbias) {
  const int64_t weights = int64_t{shape.c_out} * shape.kh * shape.kw * shape.c_in;
  dispatch_width<float>(partials.gathers_y ? shape.c_out : shape.c_in, {}, [&]<int N>() {
    launch(ctx, elementwise(weights / N + (dbias ? shape.c_out : 0)), finish_weight_gradient_kernel<N>, shape, partials,
           dweight, dbias);
  });
}

}  // namespace poise::POISE_GPU
