// A scale and a shift per image and channel. Forward: one thread per 16 bytes of channels; the N C scales and shifts
// come from the cache. Backward: a block per image and tile of channels (kernels/gpu/column_tile.cuh) reads all pixels
// once, writes their gradients and sums those of the scale and the shift. Bound by memory: 2 elements moved forward, 3
// backward; for [64,64,64,80] in f32 168 and 252 MB, 39 and 59 us at 4.3 TB/s. Predicted; not yet measured on a GPU.
#include "kernels/dense/norm/channel_modulation.h"

#include "kernels/gpu/column_tile.cuh"

namespace poise::POISE_GPU {
namespace {

template <class T, int N>
__global__ void channel_modulation_forward_kernel(bool relu, int64_t vectors, uint32_t pixels, uint32_t c, const T* x,
                                                  const T* gain, const T* bias, T* y) {
  const uint32_t vectors_per_pixel = c / N;
  for_each_element(vectors, [&](int64_t v) {
    const auto image = static_cast<uint32_t>(v / vectors_per_pixel) / pixels;
    const int64_t at = int64_t{image} * c + static_cast<uint32_t>(v % vectors_per_pixel) * N;
    const auto scale = load_floats<N>(gain + at), shift = load_floats<N>(bias + at), value = load_floats<N>(x + v * N);
    Vector<float, N> h;
#pragma unroll
    for (int k = 0; k < N; ++k) {
      h[k] = fmaf(1 + scale[k], value[k], shift[k]);
      if (relu && h[k] < 0) h[k] = 0;  // in this order NaN stays NaN
    }
    store_floats(y + v * N, h);
  });
}

// Grid {tiles of channels, images}.
template <class T, int N>
__global__ __launch_bounds__(kTileThreads) void channel_modulation_backward_kernel(bool relu, int pixels, int c,
                                                                                   const T* x, const T* gain,
                                                                                   const T* bias, const T* dy, T* dx,
                                                                                   T* dgain, T* dbias) {
  GPU_SHARED(shared_gain, TileShared<N>);
  GPU_SHARED(shared_bias, TileShared<N>);
  const TilePosition<N> at;
  const int first = static_cast<int>(blockIdx.x) * kTileColumns<N>;
  const int64_t image = blockIdx.y;
  Vector<float, N> sum_gain{}, sum_bias{};
  if (first + at.column < c) {
    const int64_t own = image * c + first + at.column;
    const auto scale = load_floats<N>(gain + own), shift = load_floats<N>(bias + own);
    for (int pixel = at.row; pixel < pixels; pixel += kTileRows) {
      const int64_t i = (image * pixels + pixel) * c + first + at.column;
      const auto value = load_floats<N>(x + i), upstream = load_floats<N>(dy + i);
      Vector<float, N> result;
#pragma unroll
      for (int k = 0; k < N; ++k) {
        const float dh = relu && fmaf(1 + scale[k], value[k], shift[k]) <= 0 ? 0.0f : upstream[k];
        result[k] = (1 + scale[k]) * dh;
        sum_gain[k] += dh * value[k];
        sum_bias[k] += dh;
      }
      if (dx) store_floats(dx + i, result);
    }
  }
  sum_tile<N>(shared_gain, at, sum_gain, [&](int column, float total) {
    if (first + column < c) dgain[image * c + first + column] = from_float<T>(total);
  });
  sum_tile<N>(shared_bias, at, sum_bias, [&](int column, float total) {
    if (first + column < c) dbias[image * c + first + column] = from_float<T>(total);
  });
}

}  // namespace

void channel_modulation_forward(Context& ctx, bool relu, const Tensor& x, const Tensor& gain, const Tensor& bias,
                                Tensor& y) {
  const auto pixels = static_cast<uint32_t>(x.shape[1] * x.shape[2]), c = static_cast<uint32_t>(x.shape[3]);
  dispatch_stored(x.dtype, [&]<class T>() {
    dispatch_width<T>(c, {&x, &gain, &bias, &y}, [&]<int N>() {
      const int64_t vectors = x.elements() / N;
      launch(ctx, elementwise(vectors), channel_modulation_forward_kernel<T, N>, relu, vectors, pixels, c, x.data<T>(),
             gain.data<T>(), bias.data<T>(), y.data<T>());
    });
  });
}

void channel_modulation_backward(Context& ctx, bool relu, const Tensor& x, const Tensor& gain, const Tensor& bias,
                                 const Tensor& dy, Tensor& dx, Tensor& dgain, Tensor& dbias) {
  const auto images = static_cast<uint32_t>(x.shape[0]);
  const auto pixels = static_cast<int>(x.shape[1] * x.shape[2]), c = static_cast<int>(x.shape[3]);
  dispatch_stored(x.dtype, [&]<class T>() {
    dispatch_width<T>(c, {&x, &gain, &bias, &dy, dx ? &dx : &dy}, [&]<int N>() {
      const auto tiles = static_cast<uint32_t>(ceil_div(c, kTileColumns<N>));
      launch(ctx, {.grid = {tiles, images}, .block = kTileThreads}, channel_modulation_backward_kernel<T, N>, relu,
             pixels, c, x.data<T>(), gain.data<T>(), bias.data<T>(), dy.data<T>(), dx ? dx.data<T>() : nullptr,
             dgain.data<T>(), dbias.data<T>());
    });
  });
}

}  // namespace poise::POISE_GPU
