// The first pass of column_sums.h on the device: a block sums a tile of columns (column_tile.cuh) over a range of rows.
#pragma once
#include "kernels/gpu/column_sums.h"
#include "kernels/gpu/column_tile.cuh"

namespace poise::POISE_GPU {

// The number of blocks of the first pass with vectors of N elements. 0 if no sums are needed.
template <int N>
POISE_HOST_DEVICE inline int column_sum_blocks(const ColumnSums& s) {
  return s.partial ? s.ranges * ceil_div(s.channels, kTileColumns<N>) : 0;
}

// The work of block `block` of these, which has 16 * rows threads. The rows of `from` are aligned to N elements.
template <class T, int N, int rows>
__device__ inline void sum_columns(const ColumnSums& s, int block, TileShared<N, rows>& shared) {
  const TilePosition<N> at;
  const int tiles = ceil_div(s.channels, kTileColumns<N>), range = block / tiles;
  const int first_column = (block - range * tiles) * kTileColumns<N>, rows_per_range = ceil_div(s.rows, s.ranges);
  const int end = min(s.rows, (range + 1) * rows_per_range);
  Vector<float, N> sum{};
  if (first_column + at.column < s.channels) {
    const T* const from = static_cast<const T*>(s.from) + first_column + at.column;
#pragma unroll 4
    for (int row = range * rows_per_range + at.row; row < end; row += rows) {
      const Vector<float, N> v = load_floats<N>(from + int64_t{row} * s.channels);
#pragma unroll
      for (int k = 0; k < N; ++k) sum[k] += v[k];
    }
  }
  sum_tile<N, rows>(shared, at, sum, [&](int column, float total) {
    if (first_column + column < s.channels) s.partial[int64_t{range} * s.channels + first_column + column] = total;
  });
}

}  // namespace poise::POISE_GPU
