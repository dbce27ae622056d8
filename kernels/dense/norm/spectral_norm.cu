// Spectral normalisation of all weights of a network: three launches in training (two without the iteration), because
// one layer alone leaves most of the GPU idle. Blocks are shared out among the layers; each reads its layer's view from
// the kernel's parameters.
//
//   1. t = W^T u           a block per tile of 64 columns (kernels/gpu/column_tile.cuh)
//   2. p = W t / |t|       a warp per row, which sums |t|^2 beside its product: no launch waits for a norm; where it
//                          vanishes every row takes t = 1 instead
//   3. y = W / sigma       a block per 4096 elements, after summing |p|^2 = sigma^2 of its layer for itself
//
// v = t / |t| is written by the first block of 2, u = p / |p| and sigma by the first of 3; they are not read there.
// Bytes: the weights three times read and once written, 6 FLOPs per weight; D of SNGAN-32 (1.05 M weights) 17 MB, of
// which two reads come from L2. Backward, per layer: <dy, y> in partial sums, then dW; 5 tensors moved. Forward 2 us,
// backward 3 us of memory traffic at 4.3 TB/s, less than the launches. Predicted; not yet measured on a GPU.
#include "kernels/dense/norm/spectral_norm.h"

#include <utility>

#include "kernels/gpu/column_tile.cuh"
#include "kernels/gpu/reduce.cuh"

namespace poise::POISE_GPU {
namespace {

constexpr int kThreads = kTileThreads;
constexpr int kWarps = kThreads / kWarp;
constexpr int kElementsPerBlock = 4096;
constexpr int kLayersPerLaunch = 32;  // so many views fit into the 4 KiB of kernel parameters

struct LayerView {
  const float* weight;  // [out, rest]
  float *u, *v, *u_used, *v_used, *sigma, *y;
  float *t, *p;  // [rest], [out]
  int out, rest;
  float eps;
  bool wide;  // rows begin at multiples of 16 bytes
};

// Layer l owns the blocks first_block[l] .. first_block[l + 1] - 1 of the grid.
struct Batch {
  LayerView layers[kLayersPerLaunch];
  int first_block[kLayersPerLaunch + 1];
  int count;
};
static_assert(sizeof(Batch) + 16 <= 4096);

struct Share {
  int layer, block;  // the block's layer, and its number there
  __device__ explicit Share(const Batch& batch) : layer(0) {
    while (static_cast<int>(blockIdx.x) >= batch.first_block[layer + 1]) ++layer;
    block = static_cast<int>(blockIdx.x) - batch.first_block[layer];
  }
};

// --- 1 ---------------------------------------------------------------------------------------------------------------

template <int N>
__device__ inline void transposed_product(const LayerView& l, int tile, TileShared<N>& shared) {
  const TilePosition<N> at;
  const int first = tile * kTileColumns<N>;
  Vector<float, N> sum{};
  if (first + at.column < l.rest) {
#pragma unroll 4
    for (int row = at.row; row < l.out; row += kTileRows) {
      const auto w = load_vector<N>(l.weight + int64_t{row} * l.rest + first + at.column);
      const float factor = l.u[row];
#pragma unroll
      for (int k = 0; k < N; ++k) sum[k] = fmaf(factor, w[k], sum[k]);
    }
  }
  sum_tile<N>(shared, at, sum, [&](int column, float total) {
    if (first + column < l.rest) l.t[first + column] = total;
  });
}

__global__ __launch_bounds__(kThreads) void transposed_products_kernel(Batch batch) {
  GPU_SHARED(wide, TileShared<4>);
  GPU_SHARED(narrow, TileShared<1>);
  const Share share(batch);
  const LayerView& l = batch.layers[share.layer];
  l.wide ? transposed_product<4>(l, share.block, wide) : transposed_product<1>(l, share.block, narrow);
}

// --- 2 ---------------------------------------------------------------------------------------------------------------

// <row, x> and |x|^2, in every lane of the warp.
struct Products {
  float dot, square;
};

template <int N>
__device__ inline Products row_products(const float* row, const float* x, int n) {
  Products sum{};
#pragma unroll 2
  for (int i = lane_id() * N; i < n; i += kWarp * N) {
    const auto w = load_vector<N>(row + i), t = load_vector<N>(x + i);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      sum.dot = fmaf(w[k], t[k], sum.dot);
      sum.square = fmaf(t[k], t[k], sum.square);
    }
  }
  return {warp_sum(sum.dot), warp_sum(sum.square)};
}

// The product with a vector of ones.
__device__ inline float row_sum(const float* row, int n) {
  float sum = 0;
  for (int i = lane_id(); i < n; i += kWarp) sum += row[i];
  return warp_sum(sum);
}

__global__ __launch_bounds__(kThreads) void products_kernel(Batch batch, bool iterate) {
  const Share share(batch);
  const LayerView& l = batch.layers[share.layer];
  const int row = min(share.block * kWarps + warp_id(), l.out - 1);  // a warp too many repeats the last row
  const float *x = iterate ? l.t : l.v, *from = l.weight + int64_t{row} * l.rest;
  Products products = l.wide ? row_products<4>(from, x, l.rest) : row_products<1>(from, x, l.rest);
  const bool restart = iterate && products.square <= l.eps * l.eps;
  if (restart) products = {row_sum(from, l.rest), static_cast<float>(l.rest)};
  const float scale = iterate ? 1 / sqrtf(products.square) : 1;
  if (lane_id() == 0 && share.block * kWarps + warp_id() < l.out) l.p[row] = scale * products.dot;
  if (share.block != 0) return;
  for (int i = static_cast<int>(threadIdx.x); i < l.rest; i += kThreads) {
    const float value = restart ? scale : scale * x[i];
    if (iterate) l.v[i] = value;
    l.v_used[i] = value;
  }
}

// --- 3 ---------------------------------------------------------------------------------------------------------------

template <int N>
__device__ inline void scale_elements(const LayerView& l, int64_t first, float factor) {
  const int64_t n = int64_t{l.out} * l.rest, end = min(n, first + kElementsPerBlock);
#pragma unroll 4
  for (int64_t i = first + static_cast<int64_t>(threadIdx.x) * N; i < end; i += kThreads * N) {
    auto w = load_vector<N>(l.weight + i);
#pragma unroll
    for (int k = 0; k < N; ++k) w[k] *= factor;
    store_vector(l.y + i, w);
  }
}

__global__ __launch_bounds__(kThreads) void normalise_weight_kernel(Batch batch, bool iterate) {
  GPU_SHARED(shared, float[kWarps]);
  const Share share(batch);
  const LayerView& l = batch.layers[share.layer];
  // sigma = <u, p>, where u is p / |p| after an iteration
  float sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < l.out; i += kThreads)
    sum = fmaf(iterate ? l.p[i] : l.u[i], l.p[i], sum);
  sum = block_sum(sum, shared);
  const float scale = iterate ? 1 / fmaxf(sqrtf(sum), l.eps) : 1, sigma = scale * sum;
  const int64_t first = int64_t{share.block} * kElementsPerBlock;
  l.wide ? scale_elements<4>(l, first, 1 / sigma) : scale_elements<1>(l, first, 1 / sigma);
  if (share.block != 0) return;
  if (threadIdx.x == 0) l.sigma[0] = sigma;
  for (int i = static_cast<int>(threadIdx.x); i < l.out; i += kThreads) {
    const float value = iterate ? scale * l.p[i] : l.u[i];
    if (iterate) l.u[i] = value;
    l.u_used[i] = value;
  }
}

// --- backward --------------------------------------------------------------------------------------------------------

// partial[b] = <dy, y> over the elements of block b.
template <int N>
__global__ __launch_bounds__(kThreads) void partial_inner_products_kernel(int64_t n, int64_t per_block, const float* dy,
                                                                          const float* y, float* partial) {
  GPU_SHARED(shared, float[kWarps]);
  const int64_t first = blockIdx.x * per_block, end = min(n, first + per_block);
  float sum = 0;
#pragma unroll 4
  for (int64_t i = first + static_cast<int64_t>(threadIdx.x) * N; i < end; i += kThreads * N) {
    const auto a = load_vector<N>(dy + i), b = load_vector<N>(y + i);
#pragma unroll
    for (int k = 0; k < N; ++k) sum = fmaf(a[k], b[k], sum);
  }
  sum = block_sum(sum, shared);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// dW = ( dy - <dy, y> u v^T ) / sigma. Every warp sums the partial products for itself.
template <int N>
__global__ __launch_bounds__(kThreads) void weight_gradient_kernel(int64_t n, uint32_t rest, int partials,
                                                                   const float* partial, const float* u, const float* v,
                                                                   const float* sigma, const float* dy,
                                                                   float* dweight) {
  float inner = 0;
  for (int i = lane_id(); i < partials; i += kWarp) inner += partial[i];
  inner = warp_sum(inner);
  const float inverse = 1 / sigma[0], along_factor = inner * inverse;
  const uint32_t vectors_per_row = rest / N;
  for_each_element(n / N, [&](int64_t vector) {
    const auto row = static_cast<uint32_t>(vector / vectors_per_row);
    const auto column = static_cast<uint32_t>(vector % vectors_per_row) * N;
    const float along = along_factor * u[row];
    const auto direction = load_vector<N>(v + column);
    auto g = load_vector<N>(dy + vector * N);
#pragma unroll
    for (int k = 0; k < N; ++k) g[k] = g[k] * inverse - along * direction[k];
    store_vector(dweight + vector * N, g);
  });
}

// --- the table's entries ---------------------------------------------------------------------------------------------

bool rows_are_wide(const SpectralNormLayer& layer) {
  return layer.v.elements() % 4 == 0 && aligned_to_16_bytes({&layer.weight, &layer.v, &layer.y});
}

// Shares the grid out, blocks_of(layer) to each, and launches.
template <class BlocksOf, class... P, class... A>
void launch_shared(Context& ctx, Batch& batch, const BlocksOf& blocks_of, void (*kernel)(P...), A... args) {
  int blocks = 0;
  for (int i = 0; i < batch.count; ++i) {
    batch.first_block[i] = blocks;
    blocks += blocks_of(batch.layers[i]);
  }
  batch.first_block[batch.count] = blocks;
  launch(ctx, {.grid = static_cast<uint32_t>(blocks), .block = kThreads}, kernel, batch, args...);
}

void normalise_batch(Context& ctx, bool iterate, Batch& batch) {
  if (iterate) {
    launch_shared(
        ctx, batch, [](const LayerView& l) { return ceil_div(l.rest, l.wide ? kTileColumns<4> : kTileColumns<1>); },
        transposed_products_kernel);
  }
  launch_shared(
      ctx, batch, [](const LayerView& l) { return ceil_div(l.out, kWarps); }, products_kernel, iterate);
  launch_shared(
      ctx, batch,
      [](const LayerView& l) {
        return static_cast<int>(ceil_div(int64_t{l.out} * l.rest, int64_t{kElementsPerBlock}));
      },
      normalise_weight_kernel, iterate);
}

}  // namespace

void spectral_norm_forward(Context& ctx, bool iterate, std::span<const SpectralNormLayer> layers, Tensor& workspace) {
  uint8_t* scratch = workspace.data<uint8_t>();
  auto take = [&](const Tensor& like) {
    return reinterpret_cast<float*>(std::exchange(scratch, scratch + align_up(like.size_bytes())));
  };
  Batch batch;
  batch.count = 0;
  for (size_t i = 0; i < layers.size(); ++i) {
    const SpectralNormLayer& layer = layers[i];
    batch.layers[batch.count++] = {.weight = layer.weight.data<float>(),
                                   .u = layer.u.data<float>(),
                                   .v = layer.v.data<float>(),
                                   .u_used = layer.u_used.data<float>(),
                                   .v_used = layer.v_used.data<float>(),
                                   .sigma = layer.sigma.data<float>(),
                                   .y = layer.y.data<float>(),
                                   .t = take(layer.v),
                                   .p = take(layer.u),
                                   .out = static_cast<int>(layer.u.elements()),
                                   .rest = static_cast<int>(layer.v.elements()),
                                   .eps = static_cast<float>(layer.eps),
                                   .wide = rows_are_wide(layer)};
    if (batch.count < kLayersPerLaunch && i + 1 < layers.size()) continue;
    normalise_batch(ctx, iterate, batch);
    batch.count = 0;
  }
}

void spectral_norm_backward(Context& ctx, const Tensor& y, const Tensor& u_used, const Tensor& v_used,
                            const Tensor& sigma, const Tensor& dy, Tensor& workspace, Tensor& dweight) {
  auto* partial = reinterpret_cast<float*>(workspace.data<uint8_t>());
  const int64_t n = y.elements(), rest = v_used.elements();
  const int64_t pieces = ceil_div(n, int64_t{kElementsPerBlock});
  const int64_t per_block = kElementsPerBlock * ceil_div(pieces, kSpectralNormPartialSums);
  const int64_t partials = ceil_div(n, per_block);
  dispatch_width<float>(rest, {&y, &dy, &v_used, &dweight}, [&]<int N>() {
    launch(ctx, {.grid = static_cast<uint32_t>(partials), .block = kThreads}, partial_inner_products_kernel<N>, n,
           per_block, dy.data<float>(), y.data<float>(), partial);
    launch(ctx, elementwise(n / N), weight_gradient_kernel<N>, n, rest, partials, partial, u_used.data<float>(),
           v_used.data<float>(), sigma.data<float>(), dy.data<float>(), dweight.data<float>());
  });
}

}  // namespace poise::POISE_GPU
