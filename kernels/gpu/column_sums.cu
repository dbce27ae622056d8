#include "kernels/gpu/column_sums.cuh"

#include "kernels/gpu/device_limits.h"

namespace poise::POISE_GPU {
namespace {

template <class T>
__global__ void add_bias_kernel(int64_t elements, int channels, const float* bias, T* y) {
  for_each_element(elements, [&](int64_t e) { y[e] = from_float<T>(to_float(y[e]) + bias[e % channels]); });
}

template <class T, int N>
__global__ __launch_bounds__(kTileThreads) void column_sums_kernel(ColumnSums sums) {
  GPU_SHARED(shared, TileShared<N>);
  sum_columns<T, N, kTileRows>(sums, static_cast<int>(blockIdx.x), shared);
}

__global__ void sum_partials_kernel(ColumnSums partials, float* sums) {
  for_each_element(partials.channels, [&](int64_t c) { sums[c] = partials.total(static_cast<int>(c)); });
}

}  // namespace

void add_bias(Context& ctx, const Tensor& bias, Tensor& y) {
  dispatch_stored(y.dtype, [&]<class T>() {
    launch(ctx, elementwise(y.elements()), add_bias_kernel<T>, y.elements(), static_cast<int>(bias.elements()),
           bias.data<float>(), y.data<T>());
  });
}

int64_t column_sum_ranges(int64_t rows) {
  constexpr int64_t kRows = 64, kRanges = kMultiprocessors;
  const int64_t ranges = ceil_div(rows, kRows);
  return ranges < kRanges ? ranges : kRanges;
}

ColumnSums sums_of_columns(const void* from, int64_t rows, int64_t channels, float* partial) {
  return {.from = from,
          .rows = static_cast<int>(rows),
          .channels = static_cast<int>(channels),
          .ranges = static_cast<int>(column_sum_ranges(rows)),
          .partial = partial};
}

void column_sums(Context& ctx, const Tensor& from, float* partial, float* sums) {
  const int64_t channels = from.shape.back();
  const ColumnSums columns = sums_of_columns(from.bytes, from.shape.rows(), channels, partial);
  dispatch_stored(from.dtype, [&]<class T>() {
    dispatch_width<T>(channels, {&from}, [&]<int N>() {
      launch(ctx, {.grid = static_cast<uint32_t>(column_sum_blocks<N>(columns)), .block = kTileThreads},
             column_sums_kernel<T, N>, columns);
    });
  });
  launch(ctx, elementwise(channels), sum_partials_kernel, columns, sums);
}

}  // namespace poise::POISE_GPU
