#include "kernels/gpu/column_sums.h"

#include "kernels/gpu/column_tile.cuh"
#include "kernels/gpu/device_limits.h"

namespace poise::POISE_GPU {
namespace {

template <class T>
__global__ void add_bias_kernel(int64_t elements, int channels, const float* bias, T* y) {
  for_each_element(elements, [&](int64_t e) { y[e] = from_float<T>(to_float(y[e]) + bias[e % channels]); });
}

// A block sums a tile of columns (column_tile.cuh) over a range of rows. Grid: x = range of rows, y = tile of columns.
template <class T, int N>
__global__ __launch_bounds__(kTileThreads) void column_sums_kernel(int64_t rows, int channels, int64_t rows_per_block,
                                                                   const T* from, float* partial) {
  GPU_SHARED(shared, TileShared<N>);
  const TilePosition<N> at;
  const int first_column = static_cast<int>(blockIdx.y) * kTileColumns<N>;
  const int64_t begin = blockIdx.x * rows_per_block;
  const int64_t end = begin + rows_per_block < rows ? begin + rows_per_block : rows;
  Vector<float, N> sum{};
  if (first_column + at.column < channels) {
    for (int64_t row = begin + at.row; row < end; row += kTileRows) {
      const Vector<float, N> v = load_floats<N>(from + row * channels + first_column + at.column);
#pragma unroll
      for (int k = 0; k < N; ++k) sum[k] += v[k];
    }
  }
  sum_tile<N>(shared, at, sum, [&](int column, float total) {
    if (first_column + column < channels) partial[int64_t{blockIdx.x} * channels + first_column + column] = total;
  });
}

__global__ void sum_partials_kernel(int blocks, int channels, const float* partial, float* sums) {
  for_each_element(channels, [&](int64_t c) {
    float sum = 0;
    for (int block = 0; block < blocks; ++block) sum += partial[int64_t{block} * channels + c];
    sums[c] = sum;
  });
}

}  // namespace

void add_bias(Context& ctx, const Tensor& bias, Tensor& y) {
  dispatch_stored(y.dtype, [&]<class T>() {
    launch(ctx, elementwise(y.elements()), add_bias_kernel<T>, y.elements(), static_cast<int>(bias.elements()),
           bias.data<float>(), y.data<T>());
  });
}

int64_t column_sum_blocks(int64_t rows) {
  constexpr int64_t kRows = 64, kBlocks = kMultiprocessors;
  const int64_t blocks = ceil_div(rows, kRows);
  return blocks < kBlocks ? blocks : kBlocks;
}

void column_sums(Context& ctx, const Tensor& from, float* partial, float* sums) {
  const int64_t rows = from.shape.rows(), channels = from.shape.back();
  const int64_t blocks = column_sum_blocks(rows);
  dispatch_stored(from.dtype, [&]<class T>() {
    dispatch_width<T>(channels, {&from}, [&]<int N>() {
      launch(ctx,
             {.grid = {static_cast<uint32_t>(blocks),
                       static_cast<uint32_t>(ceil_div<int64_t>(channels, kTileColumns<N>)), 1},
              .block = kTileThreads},
             column_sums_kernel<T, N>, rows, static_cast<int>(channels), ceil_div(rows, blocks), from.data<T>(),
             partial);
    });
  });
  launch(ctx, elementwise(channels), sum_partials_kernel, static_cast<int>(blocks), static_cast<int>(channels), partial,
         sums);
}

}  // namespace poise::POISE_GPU
