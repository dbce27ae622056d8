// Reductions over space. Average pooling is in kernels/gpu/blocks_2x2.cuh: for x [128,32,32,128] in f32 84 MB, 20 us at
// 4.3 TB/s; half of that in bf16.
//
// sum_space: a block per image and tile of channels (kernels/gpu/column_tile.cuh) reads all pixels; its gradient is a
// broadcast, one thread per 16 bytes. One tensor read or written; for [128,8,8,128] 4 MB, 1 us. FLOPs negligible.
// Predicted; not yet measured on a GPU.
#include "kernels/dense/space/pooling.h"

#include "kernels/gpu/blocks_2x2.cuh"
#include "kernels/gpu/column_tile.cuh"

namespace poise::POISE_GPU {
namespace {

// x [images, pixels, C], y [images, C]; grid {tiles of channels, images}.
template <class T, int N>
__global__ __launch_bounds__(kTileThreads) void sum_space_forward_kernel(float scale, int pixels, int c, const T* x,
                                                                         float* y) {
  GPU_SHARED(shared, TileShared<N>);
  const TilePosition<N> at;
  const int first = static_cast<int>(blockIdx.x) * kTileColumns<N>;
  const T* image = x + int64_t{blockIdx.y} * pixels * c;
  Vector<float, N> sum{};
  if (first + at.column < c) {
    for (int pixel = at.row; pixel < pixels; pixel += kTileRows) {
      const auto value = load_floats<N>(image + int64_t{pixel} * c + first + at.column);
#pragma unroll
      for (int k = 0; k < N; ++k) sum[k] += value[k];
    }
  }
  sum_tile<N>(shared, at, sum, [&](int column, float total) {
    if (first + column < c) y[int64_t{blockIdx.y} * c + first + column] = scale * total;
  });
}

// dx[n,pixel,c] = scale * dy[n,c]; with `masks`, only where dx is positive, else zero.
template <class T, int N>
__global__ void sum_space_backward_kernel(float scale, bool masks, int64_t vectors, uint32_t pixels, uint32_t c,
                                          const float* dy, T* dx) {
  const uint32_t vectors_per_pixel = c / N;
  for_each_element(vectors, [&](int64_t v) {
    const auto pixel = static_cast<uint32_t>(v / vectors_per_pixel);
    const auto channel = static_cast<uint32_t>(v % vectors_per_pixel) * N;
    const float* from = dy + int64_t{pixel / pixels} * c + channel;
    Vector<float, N> value;
#pragma unroll
    for (int k = 0; k < N; ++k) value[k] = scale * from[k];
    if (masks) {
      const auto there = load_floats<N>(dx + v * N);
#pragma unroll
      for (int k = 0; k < N; ++k) value[k] = there[k] > 0 ? value[k] : 0 * value[k];
    }
    store_floats(dx + v * N, value);
  });
}

}  // namespace

void sum_space_forward(Context& ctx, double scale, const Tensor& x, Tensor& y) {
  const auto images = static_cast<uint32_t>(x.shape[0]);
  const auto pixels = static_cast<int>(x.shape[1] * x.shape[2]), c = static_cast<int>(x.shape[3]);
  dispatch_stored(x.dtype, [&]<class T>() {
    dispatch_width<T>(c, {&x}, [&]<int N>() {
      const auto tiles = static_cast<uint32_t>(ceil_div(c, kTileColumns<N>));
      launch(ctx, {.grid = {tiles, images}, .block = kTileThreads}, sum_space_forward_kernel<T, N>,
             static_cast<float>(scale), pixels, c, x.data<T>(), y.data<float>());
    });
  });
}

void sum_space_backward(Context& ctx, double scale, bool masks, const Tensor& dy, Tensor& dx) {
  const auto pixels = static_cast<uint32_t>(dx.shape[1] * dx.shape[2]), c = static_cast<uint32_t>(dx.shape[3]);
  dispatch_stored(dx.dtype, [&]<class T>() {
    dispatch_width<T>(c, {&dx}, [&]<int N>() {
      const int64_t vectors = dx.elements() / N;
      launch(ctx, elementwise(vectors), sum_space_backward_kernel<T, N>, static_cast<float>(scale), masks, vectors,
             pixels, c, dy.data<float>(), dx.data<T>());
    });
  });
}

void avg_pool_2x2_forward(Context& ctx, const Tensor& x, Tensor& y) { sum_blocks_2x2(ctx, 0.25, x, y); }
void avg_pool_2x2_backward(Context& ctx, const Tensor& dy, Tensor& dx) { spread_blocks_2x2(ctx, 0.25, dy, dx); }

}  // namespace poise::POISE_GPU
