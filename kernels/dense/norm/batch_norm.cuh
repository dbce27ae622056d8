// How batch normalisation divides its matrix [M,C] into chunks of rows, and what its forward and backward passes share:
// the rows of a chunk, the channels of a thread, the value before the activation, and the combination of the chunks.
#pragma once
#include <limits>

#include "kernels/dense/norm/batch_norm.h"
#include "kernels/gpu/column_tile.cuh"
#include "kernels/gpu/device_limits.h"

namespace poise::POISE_GPU {

constexpr int kRowsInFlight = 4;                                  // of one tensor, per thread
constexpr int kRowsTwoTensors = 2;                                // of each of two tensors
constexpr int64_t kRowStep = int64_t{kTileRows} * kRowsInFlight;  // rows of one tensor that a block reads per iteration
constexpr int64_t kMostChunks = 256;                              // enough blocks, but little to combine
constexpr int64_t kElementwisePassBlocks = kMultiprocessors * 8;  // enough blocks, each worth its coefficients
static_assert(2 * kRowStep <= kBatchNormChunkRows, "two floats per chunk and channel fit where two doubles do");

// The matrix and its chunks of rows. Partial results: [chunks][2][C] floats of the workspace.
struct RowChunks {
  int64_t rows, rows_per_chunk;
  int channels, chunks;
  RowChunks(const Tensor& x, const Tensor& gamma, int64_t most_chunks) {
    channels = static_cast<int>(gamma.elements());
    rows = x.elements() / channels;
    rows_per_chunk = kRowStep * ceil_div(ceil_div(rows, kRowStep), most_chunks);
    chunks = static_cast<int>(ceil_div(rows, rows_per_chunk));
  }
  __device__ int64_t first(int chunk) const { return chunk * rows_per_chunk; }
  __device__ int64_t end(int chunk) const { return min(rows, first(chunk) + rows_per_chunk); }
};

// The chunks of the elementwise passes.
template <int N>
RowChunks chunks_for_blocks(const Tensor& x, const Tensor& gamma) {
  return {x, gamma, ceil_div(kElementwisePassBlocks, ceil_div(gamma.elements(), int64_t{kTileColumns<N>}))};
}

template <int N>
LaunchShape tiles(const RowChunks& matrix) {
  return {
      .grid = {static_cast<uint32_t>(ceil_div(matrix.channels, kTileColumns<N>)), static_cast<uint32_t>(matrix.chunks)},
      .block = kTileThreads};
}

inline float* sums_in(const Tensor& workspace) { return reinterpret_cast<float*>(workspace.data<uint8_t>()); }

// Loads a statistic or parameter of a thread's channels.
template <int N>
__device__ inline Vector<float, N> of_channels(const float* from, int first) {
  constexpr int kWidth = N < 4 ? N : 4;
  Vector<float, N> v;
#pragma unroll
  for (int k = 0; k < N; k += kWidth) {
    const auto part = load_vector<kWidth>(from + first + k);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) v[k + j] = part[j];
  }
  return v;
}

template <int N>
struct Channels {
  Vector<float, N> mean, scale, beta;
  __device__ Channels(int first, const float* gamma, const float* beta_in, const float* mean_in, const float* inv_std)
      : mean(of_channels<N>(mean_in, first)),
        scale(of_channels<N>(gamma, first)),
        beta(of_channels<N>(beta_in, first)) {
    const auto inverse = of_channels<N>(inv_std, first);
#pragma unroll
    for (int k = 0; k < N; ++k) scale[k] *= inverse[k];
  }
};

// The value before the activation max(value, floor). One explicit rounding makes forward and backward agree bit for bit
// on where the ReLU passes, regardless of how the compiler contracts the surrounding code.
__device__ inline float normalised(float deviation, float scale, float beta) { return fmaf(deviation, scale, beta); }

inline float activation_floor(bool relu) { return relu ? 0 : -std::numeric_limits<float>::infinity(); }

// Calls f(row, valid) for this thread's rows of a chunk, Count at a time: the rows row + 16 i, i < valid <= Count.
template <int Count, class F>
__device__ inline void for_each_rows(const RowChunks& matrix, int row_in_tile, const F& f) {
  const int chunk = static_cast<int>(blockIdx.y);
  const int64_t end = matrix.end(chunk);
  for (int64_t row = matrix.first(chunk) + row_in_tile; row < end; row += kTileRows * Count) {
    const int64_t left = ceil_div(end - row, kTileRows);
    f(row, left < Count ? static_cast<int>(left) : Count);
  }
}

// Loads those rows of one tensor, `step` elements apart, all in flight at once; zeros for rows that do not exist.
template <int N, int Count, class T>
__device__ inline void load_rows(Vector<T, N> (&held)[Count], const T* from, int64_t step, int valid) {
#pragma unroll
  for (int i = 0; i < Count; ++i) held[i] = i < valid ? load_vector<N>(from + i * step) : Vector<T, N>{};
}

// Calls f(k, x - mean, g) for each channel k of each of this thread's rows, where g is the gradient before the
// activation: dy, or 0 where the activation cuts off; and after each row row_done(its offset in both tensors).
template <int N, class T, class F, class RowDone>
__device__ inline void for_each_gradient(const RowChunks& matrix, int row_in_tile, int first, const Channels<N>& c,
                                         float floor, const T* x, const T* dy, const F& f, const RowDone& row_done) {
  for_each_rows<kRowsTwoTensors>(matrix, row_in_tile, [&](int64_t row, int valid) {
    Vector<T, N> values[kRowsTwoTensors], upstream[kRowsTwoTensors];
    const int64_t start = row * matrix.channels + first, step = int64_t{kTileRows} * matrix.channels;
    load_rows<N>(values, x + start, step, valid);
    load_rows<N>(upstream, dy + start, step, valid);
#pragma unroll
    for (int i = 0; i < kRowsTwoTensors; ++i) {
      if (i >= valid) break;
#pragma unroll
      for (int k = 0; k < N; ++k) {
        const float deviation = to_float(values[i][k]) - c.mean[k];
        f(k, deviation, normalised(deviation, c.scale[k], c.beta[k]) <= floor ? 0 : to_float(upstream[i][k]));
      }
      row_done(start + i * step);
    }
  });
}

// A block combines the chunks of 32 channels: lane = channel, and each warp takes a run of chunks.
constexpr int kCombineWarps = 16;
constexpr int kCombineThreads = kCombineWarps * kWarp;

inline LaunchShape combine(const RowChunks& matrix) {
  return {.grid = static_cast<uint32_t>(ceil_div(matrix.channels, kWarp)), .block = kCombineThreads};
}

// Calls f(chunk) for the chunks of this warp.
template <class F>
__device__ inline void for_each_chunk_of_warp(const RowChunks& matrix, const F& f) {
  const int per_warp = ceil_div(matrix.chunks, kCombineWarps), first = warp_id() * per_warp;
  for (int chunk = first; chunk < first + per_warp && chunk < matrix.chunks; ++chunk) f(chunk);
}

}  // namespace poise::POISE_GPU
