// Reduction of a matrix [rows, C], C fastest, over its rows by thread blocks: of activations [N H W, C] per channel,
// and of weights [out, rest] per column.
//
// A block of 256 threads reduces a tile of 16 neighbouring vectors of N columns (256 contiguous bytes per row if a
// vector has 16 bytes) over some of the rows. Thread t reads vector t % 16 of rows t / 16, t / 16 + 16, ...: a warp
// reads two rows of the tile at a time. The sums of the 16 threads of a vector are added up through shared memory, in
// row order.
#pragma once
#include "kernels/gpu/elementwise.cuh"

namespace poise::POISE_GPU {

constexpr int kTileVectors = 16;
constexpr int kTileRows = 16;  // rows that a block reads at once
constexpr int kTileThreads = kTileVectors * kTileRows;

template <int N>
constexpr int kTileColumns = kTileVectors* N;

// One number per row of threads and column of the tile.
template <int N, int rows = kTileRows>
using TileShared = float[rows][kTileColumns<N>];

template <int N>
struct TilePosition {
  int row;     // among the rows that the block reads at once
  int column;  // this thread's first column in the tile

  __device__ TilePosition()
      : row(static_cast<int>(threadIdx.x) / kTileVectors), column(static_cast<int>(threadIdx.x) % kTileVectors * N) {}
};

template <int N, int rows>
__device__ inline void put_in_tile(float (&shared)[rows][kTileColumns<N>], const TilePosition<N>& at,
                                   const Vector<float, N>& v) {
#pragma unroll
  for (int k = 0; k < N; ++k) shared[at.row][at.column + k] = v[k];
}

// Calls f(column, sum over the tile's rows) for every column of the tile, in one thread each. A block with fewer
// threads reads fewer rows at once.
template <int N, int rows = kTileRows, class F>
__device__ inline void sum_tile(TileShared<N, rows>& shared, const TilePosition<N>& at, const Vector<float, N>& v,
                                const F& f) {
  static_assert(rows * kTileVectors >= kTileColumns<N>, "a thread per column");
  put_in_tile<N, rows>(shared, at, v);
  __syncthreads();
  if (const int column = static_cast<int>(threadIdx.x); column < kTileColumns<N>) {
    float total = 0;
#pragma unroll
    for (int row = 0; row < rows; ++row) total += shared[row][column];
    f(column, total);
  }
}

}  // namespace poise::POISE_GPU
