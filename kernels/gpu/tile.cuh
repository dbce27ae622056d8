// Tiles of matrices in shared memory, for D[m,n] = sum_k A[m,k] B[n,k].
//
// A tile is 128 bytes deep along k (64 bf16, 32 f32) and consists of 16-byte chunks, the unit of copies and of
// ldmatrix. An operand is stored with k fastest (Major::k) or with m or n fastest (Major::mn), and its tile keeps that
// order: copies do not transpose. Within a row of a tile the chunks are permuted by XOR with a key of the row, so that
// the accesses of a warp, which go down a column of chunks, use all 32 banks.
#pragma once
#include "kernels/gpu/gpu.h"

namespace poise::POISE_GPU {

enum class Major : uint8_t { k, mn };

template <class T>
constexpr int kChunk = 16 / static_cast<int>(sizeof(T));  // elements per chunk
constexpr int kChunksDeep = 8;                            // chunks of a tile along k
template <class T>
constexpr int kTileK = kChunksDeep* kChunk<T>;  // elements of a tile along k

// `extent` elements of m or n by kTileK<T> of k.
template <class T, Major major, int extent>
struct TileLayout {
  static constexpr int kRows = major == Major::k ? extent : kTileK<T>;
  static constexpr int kChunks = major == Major::k ? kChunksDeep : extent / kChunk<T>;  // per row
  static constexpr int kElements = extent * kTileK<T>;
  static_assert(kChunks % 8 == 0);

  // Offset of a chunk, in elements. The lanes of ldmatrix read one chunk from each of 8 neighbouring rows. Lanes that
  // gather f32 fragments from rows of m (TensorCoreProduct) read two neighbouring chunks from each of 4 rows.
  static __device__ int at(int row, int chunk) {
    const int key = major == Major::k || sizeof(T) == 2 ? row % 8 : row % 4 * 2;
    return (row * kChunks + (chunk ^ key)) * kChunk<T>;
  }
};

// The part m x n of the output that a block computes, the part of it that a warp computes, and how many tiles per
// operand are in flight or in use at once. (A type: nvcc 13 fails on kernels with objects as template arguments.)
template <int m_, int n_, int warp_m_, int warp_n_, int stages_, int blocks_per_multiprocessor_>
struct BlockShape {
  static constexpr int m = m_, n = n_, warp_m = warp_m_, warp_n = warp_n_, stages = stages_;
  static constexpr int blocks_per_multiprocessor = blocks_per_multiprocessor_;
  static constexpr int warps_m = m / warp_m, threads = warps_m * (n / warp_n) * kWarp;
};

}  // namespace poise::POISE_GPU
