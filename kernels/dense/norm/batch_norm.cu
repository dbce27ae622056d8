// Batch normalisation of [M,C] (M = N H W), in three launches each way: partial results for chunks of rows, their
// combination per channel, and the elementwise pass. Chunks and order depend on the shape alone, so the results have
// the same bits on every run. Blocks and threads: kernels/gpu/column_tile.cuh. A thread keeps several 16-byte vectors
// in flight and its channels' coefficients in registers.
//
// Moments are exact in one read: a thread computes the mean and then the squared deviations of the few rows that it
// holds in registers, and merges (count, mean, M2) triples as Chan, Golub and LeVeque do:
//   delta = mean_b - mean_a;  mean = mean_a + delta n_b / n;  M2 = M2_a + M2_b + delta^2 n_a n_b / n
//
// Bytes: forward 3 tensors (x twice, y), backward 5 (x and dy twice, dx); 8 and 12 FLOPs per element. [64,32,32,256] in
// f32: 201 and 336 MB, 47 and 78 us at 4.3 TB/s; half of that in bf16. Predicted; not yet measured on a GPU.
#include "kernels/dense/norm/batch_norm.h"

#include "kernels/dense/norm/batch_norm.cuh"
#include "kernels/gpu/elementwise.cuh"
#include "kernels/ranks/ranks.h"

namespace poise::POISE_GPU {
namespace {

// --- forward ---------------------------------------------------------------------------------------------------------

// n numbers with this mean and this sum of squared deviations from it. Merging is not commutative bit for bit, so the
// order is part of the result.
struct Moments {
  float n = 0, mean = 0, m2 = 0;
  __device__ void merge(const Moments& b) {
    if (b.n == 0) return;
    const float total = n + b.n, delta = b.mean - mean, share = b.n / total;
    mean = fmaf(delta, share, mean);
    m2 += b.m2 + delta * delta * (n * share);
    n = total;
  }
};

template <class T, int N>
__global__ __launch_bounds__(kTileThreads) void chunk_moments_kernel(RowChunks matrix, const T* x, float* partial) {
  GPU_SHARED(means, TileShared<N>);
  GPU_SHARED(m2s, TileShared<N>);
  const TilePosition<N> at;
  const int first_channel = static_cast<int>(blockIdx.x) * kTileColumns<N>;
  Vector<float, N> mean{}, m2{};
  if (first_channel + at.column < matrix.channels) {
    const T* column = x + first_channel + at.column;
    float n = 0;
    for_each_rows<kRowsInFlight>(matrix, at.row, [&](int64_t row, int valid) {
      Vector<T, N> held[kRowsInFlight];
      load_rows<N>(held, column + row * matrix.channels, int64_t{kTileRows} * matrix.channels, valid);
      const auto count = static_cast<float>(valid);
      const float total = n + count, share = count / total, weight = n * share, per_row = 1 / count;
#pragma unroll
      for (int k = 0; k < N; ++k) {
        float sum = 0, squares = 0;
#pragma unroll
        for (int i = 0; i < kRowsInFlight; ++i) sum += to_float(held[i][k]);
        const float centre = sum * per_row;
#pragma unroll
        for (int i = 0; i < kRowsInFlight; ++i) {
          const float deviation = i < valid ? to_float(held[i][k]) - centre : 0;
          squares = fmaf(deviation, deviation, squares);
        }
        const float delta = centre - mean[k];
        mean[k] = fmaf(delta, share, mean[k]);
        m2[k] += fmaf(delta * delta, weight, squares);
      }
      n = total;
    });
  }
  put_in_tile<N>(means, at, mean);
  put_in_tile<N>(m2s, at, m2);
  __syncthreads();
  const int column = static_cast<int>(threadIdx.x), channel = first_channel + column;
  if (column >= kTileColumns<N> || channel >= matrix.channels) return;
  const int chunk = static_cast<int>(blockIdx.y);
  const int64_t rows = matrix.end(chunk) - matrix.first(chunk);
  Moments all;
  for (int row = 0; row < kTileRows && row < rows; ++row) {
    const int64_t count = ceil_div(rows - row, kTileRows);
    all.merge({static_cast<float>(count), means[row][column], m2s[row][column]});
  }
  partial[(2 * chunk) * matrix.channels + channel] = all.mean;
  partial[(2 * chunk + 1) * matrix.channels + channel] = all.m2;
}

struct RunningStatistics {
  float *mean, *var;  // null: no update
  float momentum;
};

// Calls f(channel, moments of all chunks) in one thread per channel.
template <class F>
__device__ inline void combine_chunks(const RowChunks& matrix, const float* partial,
                                      float (&warps)[kCombineWarps][3][kWarp], const F& f) {
  const int channel = static_cast<int>(blockIdx.x) * kWarp + lane_id();
  Moments mine;
  if (channel < matrix.channels) {
    for_each_chunk_of_warp(matrix, [&](int chunk) {
      const float* at = partial + 2 * chunk * matrix.channels + channel;
      mine.merge({static_cast<float>(matrix.end(chunk) - matrix.first(chunk)), at[0], at[matrix.channels]});
    });
  }
  warps[warp_id()][0][lane_id()] = mine.n;
  warps[warp_id()][1][lane_id()] = mine.mean;
  warps[warp_id()][2][lane_id()] = mine.m2;
  __syncthreads();
  if (warp_id() != 0 || channel >= matrix.channels) return;
  Moments all;
  for (int w = 0; w < kCombineWarps; ++w) {
    all.merge({warps[w][0][lane_id()], warps[w][1][lane_id()], warps[w][2][lane_id()]});
  }
  f(channel, all);
}

__global__ __launch_bounds__(kCombineThreads) void combine_moments_kernel(RowChunks matrix, const float* partial,
                                                                          float eps, RunningStatistics running,
                                                                          float* mean, float* inv_std) {
  GPU_SHARED(warps, float[kCombineWarps][3][kWarp]);
  combine_chunks(matrix, partial, warps, [&](int channel, const Moments& all) {
    const auto rows = static_cast<float>(matrix.rows);
    mean[channel] = all.mean;
    inv_std[channel] = 1 / sqrtf(all.m2 / rows + eps);
    const float keep = 1 - running.momentum;
    if (running.mean) running.mean[channel] = keep * running.mean[channel] + running.momentum * all.mean;
    if (running.var) {
      const float unbiased = all.m2 / (matrix.rows > 1 ? rows - 1 : rows);
      running.var[channel] = keep * running.var[channel] + running.momentum * unbiased;
    }
  });
}

// This rank's moments, stored as chunk_moments_kernel stores those of a chunk: mine [2][C].
__global__ __launch_bounds__(kCombineThreads) void rank_moments_kernel(RowChunks matrix, const float* partial,
                                                                       float* mine) {
  GPU_SHARED(warps, float[kCombineWarps][3][kWarp]);
  combine_chunks(matrix, partial, warps, [&](int channel, const Moments& all) {
    mine[channel] = all.mean;
    mine[matrix.channels + channel] = all.m2;
  });
}

__global__ void past_statistics_kernel(int channels, float eps, const float* running_mean, const float* running_var,
                                       float* mean, float* inv_std) {
  for_each_element(channels, [&](int64_t c) {
    mean[c] = running_mean[c];
    inv_std[c] = 1 / sqrtf(running_var[c] + eps);
  });
}

template <class T, int N>
__global__ __launch_bounds__(kTileThreads) void normalise_kernel(RowChunks matrix, float floor, const T* x,
                                                                 const float* gamma, const float* beta,
                                                                 const float* mean, const float* inv_std, T* y) {
  const TilePosition<N> at;
  const int first = static_cast<int>(blockIdx.x) * kTileColumns<N> + at.column;
  if (first >= matrix.channels) return;
  const Channels<N> c(first, gamma, beta, mean, inv_std);
  for_each_rows<kRowsInFlight>(matrix, at.row, [&](int64_t row, int valid) {
    Vector<T, N> held[kRowsInFlight];
    const int64_t start = row * matrix.channels + first, step = int64_t{kTileRows} * matrix.channels;
    load_rows<N>(held, x + start, step, valid);
#pragma unroll
    for (int i = 0; i < kRowsInFlight; ++i) {
      if (i >= valid) break;
#pragma unroll
      for (int k = 0; k < N; ++k) {
        const float value = normalised(to_float(held[i][k]) - c.mean[k], c.scale[k], c.beta[k]);
        held[i][k] = from_float<T>(value < floor ? floor : value);  // in this order NaN stays NaN
      }
      store_vector(y + start + i * step, held[i]);
    }
  });
}

// --- backward --------------------------------------------------------------------------------------------------------

// Per chunk and channel: sum g and sum g (x - mean).
template <class T, int N>
__global__ __launch_bounds__(kTileThreads) void chunk_gradients_kernel(RowChunks matrix, float floor, const T* x,
                                                                       const float* gamma, const float* beta,
                                                                       const float* mean, const float* inv_std,
                                                                       const T* dy, float* partial) {
  GPU_SHARED(sums, TileShared<N>);
  GPU_SHARED(products, TileShared<N>);
  const TilePosition<N> at;
  const int first_channel = static_cast<int>(blockIdx.x) * kTileColumns<N>, first = first_channel + at.column;
  Vector<float, N> sum{}, product{};
  if (first < matrix.channels) {
    const Channels<N> c(first, gamma, beta, mean, inv_std);
    for_each_gradient<N>(
        matrix, at.row, first, c, floor, x, dy,
        [&](int k, float deviation, float g) {
          sum[k] += g;
          product[k] = fmaf(g, deviation, product[k]);
        },
        [](int64_t) {});
  }
  float* to = partial + int64_t{2} * blockIdx.y * matrix.channels + first_channel;
  const int columns = matrix.channels - first_channel;
  sum_tile<N>(sums, at, sum, [&](int column, float total) {
    if (column < columns) to[column] = total;
  });
  sum_tile<N>(products, at, product, [&](int column, float total) {
    if (column < columns) to[matrix.channels + column] = total;
  });
}

// mine [2][C]: a copy of dgamma and dbeta for the other ranks; may be null.
__global__ __launch_bounds__(kCombineThreads) void combine_gradients_kernel(RowChunks matrix, const float* partial,
                                                                            const float* inv_std, float* dgamma,
                                                                            float* dbeta, float* mine) {
  GPU_SHARED(warps, float[kCombineWarps][2][kWarp]);
  const int channel = static_cast<int>(blockIdx.x) * kWarp + lane_id();
  float sum = 0, product = 0;
  if (channel < matrix.channels) {
    for_each_chunk_of_warp(matrix, [&](int chunk) {
      const float* at = partial + 2 * chunk * matrix.channels + channel;
      sum += at[0];
      product += at[matrix.channels];
    });
  }
  warps[warp_id()][0][lane_id()] = sum;
  warps[warp_id()][1][lane_id()] = product;
  __syncthreads();
  if (warp_id() != 0 || channel >= matrix.channels) return;
  sum = product = 0;
  for (int w = 0; w < kCombineWarps; ++w) {
    sum += warps[w][0][lane_id()];
    product += warps[w][1][lane_id()];
  }
  dbeta[channel] = sum;
  dgamma[channel] = product * inv_std[channel];
  if (!mine) return;
  mine[channel] = dgamma[channel];
  mine[matrix.channels + channel] = sum;
}

// totals[i] = all[0][i] + all[1][i] + ...
__global__ void add_ranks_kernel(int64_t n, int ranks, const float* all, float* totals) {
  for_each_element(n, [&](int64_t i) {
    float sum = all[i];
    for (int r = 1; r < ranks; ++r) sum += all[r * n + i];
    totals[i] = sum;
  });
}

// dx = scale (g - mean_g - (x - mean) slope);  mean_g = dbeta per_row, slope = dgamma per_row inv_std; per_row is 1 /
// M, or 0 with running statistics.
template <class T, int N>
__global__ __launch_bounds__(kTileThreads) void input_gradient_kernel(RowChunks matrix, float floor, float per_row,
                                                                      const T* x, const float* gamma, const float* beta,
                                                                      const float* mean, const float* inv_std,
                                                                      const float* dgamma, const float* dbeta,
                                                                      const T* dy, T* dx) {
  const TilePosition<N> at;
  const int first = static_cast<int>(blockIdx.x) * kTileColumns<N> + at.column;
  if (first >= matrix.channels) return;
  const Channels<N> c(first, gamma, beta, mean, inv_std);
  auto mean_g = of_channels<N>(dbeta, first), slope = of_channels<N>(dgamma, first);
  const auto inverse = of_channels<N>(inv_std, first);
#pragma unroll
  for (int k = 0; k < N; ++k) {
    mean_g[k] *= per_row;
    slope[k] *= per_row * inverse[k];
  }
  Vector<T, N> gradient;
  for_each_gradient<N>(
      matrix, at.row, first, c, floor, x, dy,
      [&](int k, float deviation, float g) {
        gradient[k] = from_float<T>(c.scale[k] * (g - mean_g[k] - deviation * slope[k]));
      },
      [&](int64_t place) { store_vector(dx + place, gradient); });
}

// --- the table's entries ---------------------------------------------------------------------------------------------

// The workspace buffers through which ranks exchange sums, [2][C] per rank.
struct Exchange {
  Tensor mine, all, totals;
  Exchange(const Ranks& ranks, const RowChunks& matrix, const Tensor& workspace) {
    const auto part = [&](int64_t first, int64_t count) {
      return batch_norm_exchange(workspace, matrix.rows, matrix.channels, first, count, DType::f32);
    };
    mine = part(0, 1);
    all = part(1, ranks.size());
    totals = part(1 + ranks.size(), 1);
  }
};

}  // namespace

void batch_norm_batch_statistics(Context& ctx, const BatchNormOptions& options, const BatchNormStatistics& bn,
                                 Tensor& workspace) {
  require(!bn.moments, "GPU ops do not compute moments");
  const RowChunks matrix(bn.x, bn.mean, kMostChunks);
  const RunningStatistics running{.mean = bn.running_mean ? bn.running_mean.data<float>() : nullptr,
                                  .var = bn.running_var ? bn.running_var.data<float>() : nullptr,
                                  .momentum = static_cast<float>(options.momentum)};
  dispatch_stored(bn.x.dtype, [&]<class T>() {
    dispatch_width<T>(matrix.channels, {&bn.x}, [&]<int N>() {
      launch(ctx, tiles<N>(matrix), chunk_moments_kernel<T, N>, matrix, bn.x.data<T>(), sums_in(workspace));
      RowChunks summed = matrix;
      const float* partial = sums_in(workspace);
      if (options.ranks) {
        const Exchange exchange(*options.ranks, matrix, workspace);
        launch(ctx, combine(matrix), rank_moments_kernel, matrix, partial, exchange.mine.data<float>());
        options.ranks->gather(ctx, exchange.mine, exchange.all);
        partial = exchange.all.data<float>();
        summed.rows_per_chunk = matrix.rows;
        summed.chunks = options.ranks->size();
        summed.rows *= summed.chunks;
      }
      launch(ctx, combine(summed), combine_moments_kernel, summed, partial, static_cast<float>(options.eps), running,
             bn.mean.data<float>(), bn.inv_std.data<float>());
    });
  });
}

void batch_norm_running_statistics(Context& ctx, const BatchNormOptions& options, const BatchNormStatistics& bn) {
  const int64_t channels = bn.mean.elements();
  launch(ctx, elementwise(channels), past_statistics_kernel, channels, static_cast<float>(options.eps),
         bn.running_mean.data<float>(), bn.running_var.data<float>(), bn.mean.data<float>(), bn.inv_std.data<float>());
}

void batch_norm_normalise(Context& ctx, const Normalisation& bn, const Tensor& x, Tensor& y) {
  dispatch_stored(x.dtype, [&]<class T>() {
    dispatch_width<T>(bn.gamma.elements(), {&x, &y, &bn.gamma, &bn.beta, &bn.mean, &bn.inv_std}, [&]<int N>() {
      const RowChunks matrix = chunks_for_blocks<N>(x, bn.gamma);
      launch(ctx, tiles<N>(matrix), normalise_kernel<T, N>, matrix, activation_floor(bn.relu), x.data<T>(),
             bn.gamma.data<float>(), bn.beta.data<float>(), bn.mean.data<float>(), bn.inv_std.data<float>(),
             y.data<T>());
    });
  });
}

void batch_norm_backward(Context& ctx, const BatchNormOptions& options, bool train, const BatchNormBackwardOperands& bn,
                         Tensor& workspace) {
  require(!bn.sums, "GPU ops do not compute sums of gradients");
  const RowChunks matrix(bn.x, bn.gamma, kMostChunks);
  const bool exchanged = train && options.ranks && bn.dx;
  const int64_t rows = matrix.rows * (exchanged ? options.ranks->size() : 1);
  const float floor = activation_floor(options.relu), per_row = train ? 1 / static_cast<float>(rows) : 0;
  const auto *gamma = bn.gamma.data<float>(), *beta = bn.beta.data<float>();
  const auto *mean = bn.mean.data<float>(), *inv_std = bn.inv_std.data<float>();
  auto *dgamma = bn.dgamma.data<float>(), *dbeta = bn.dbeta.data<float>();
  const auto all = {&bn.x, &bn.dy, &bn.dx, &bn.gamma, &bn.beta, &bn.mean, &bn.inv_std, &bn.dgamma, &bn.dbeta};
  dispatch_stored(bn.x.dtype, [&]<class T>() {
    const auto *x = bn.x.data<T>(), *dy = bn.dy.data<T>();
    dispatch_width<T>(matrix.channels, all, [&]<int N>() {
      launch(ctx, tiles<N>(matrix), chunk_gradients_kernel<T, N>, matrix, floor, x, gamma, beta, mean, inv_std, dy,
             sums_in(workspace));
      float* mine = nullptr;
      const float *total_gamma = dgamma, *total_beta = dbeta;
      if (exchanged) mine = Exchange(*options.ranks, matrix, workspace).mine.data<float>();
      launch(ctx, combine(matrix), combine_gradients_kernel, matrix, sums_in(workspace), inv_std, dgamma, dbeta, mine);
      if (!bn.dx) return;
      if (exchanged) {
        const Exchange exchange(*options.ranks, matrix, workspace);
        options.ranks->gather(ctx, exchange.mine, exchange.all);
        total_gamma = exchange.totals.data<float>();
        total_beta = total_gamma + matrix.channels;
        launch(ctx, elementwise(2 * matrix.channels), add_ranks_kernel, int64_t{2} * matrix.channels,
               options.ranks->size(), exchange.all.data<float>(), exchange.totals.data<float>());
      }
      const RowChunks blocks = chunks_for_blocks<N>(bn.x, bn.gamma);
      launch(ctx, tiles<N>(blocks), input_gradient_kernel<T, N>, blocks, floor, per_row, x, gamma, beta, mean, inv_std,
             total_gamma, total_beta, dy, bn.dx.data<T>());
    });
  });
}

}  // namespace poise::POISE_GPU
