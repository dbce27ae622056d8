// Spectral normalisation of all weights of a network: three launches in training (two without the iteration), because
// one layer alone leaves most of the GPU idle. Blocks are divided among the layers; each reads its layer's view from
// the kernel's parameters.
//
//   1. t = W^T u           a block per tile of 64 columns (kernels/gpu/column_tile.cuh)
//   2. p = W t / |t|       a warp per row, which also sums |t|^2, so that no launch waits for a norm; where it
//                          vanishes, every row uses t = 1 instead
//   3. y = W / sigma       a block per 4096 elements, after summing |p|^2 = sigma^2 of its layer itself; also in
//                          bf16, if activations are
//
// v = t / |t| is written by the first block of 2, u = p / |p| and sigma by the first of 3; they are not read there.
// Bytes: the weights read three times and written once, 6 FLOPs per weight; D of SNGAN-32 (1.05 M weights) 17 MB, of
// which two reads come from L2. Backward, two launches: <dy, y> in partial sums, then dW; 5 tensors moved. 2 us forward
// and 3 us backward of memory traffic at 4.3 TB/s, less than the launches. Predicted; not yet measured on a GPU.
#include "kernels/dense/norm/spectral_norm.h"

#include "kernels/core/workspace_layout.h"
#include "kernels/gpu/column_tile.cuh"
#include "kernels/gpu/reduce.cuh"

namespace poise::POISE_GPU {
namespace {

constexpr int kThreads = kTileThreads;
constexpr int kWarps = kThreads / kWarp;
constexpr int kElementsPerBlock = 4096;
constexpr int kLayersPerLaunch = 32;  // this many views fit into the 4 KiB of kernel parameters

struct LayerView {
  const float* weight;  // [out, rest]
  float *u, *v, *u_used, *v_used, *sigma, *y;
  bf16* narrow;  // or null
  float *t, *p;  // [rest], [out]
  int out, rest;
  float eps;
  bool wide;  // rows begin at multiples of 16 bytes
};

struct GradientView {
  const float *y, *u, *v, *sigma, *dy;  // [out, rest], [out], [rest], [1], [out, rest]
  const uint8_t* alive;                 // [out, rest / run], or null
  float *dweight, *partial;             // [out, rest], [partials]
  int out, rest;
  int per_block, partials;  // elements of a partial sum
  bool wide;
};

// Layer l owns the blocks first_block[l] .. first_block[l + 1] - 1 of the grid.
template <class View>
struct Batch {
  View layers[kLayersPerLaunch];
  int first_block[kLayersPerLaunch + 1];
  int count = 0;
};
static_assert(sizeof(Batch<LayerView>) + 16 <= 4096 && sizeof(Batch<GradientView>) <= 4096);

struct Share {
  int layer, block;  // the block's layer, and its number within that layer
  template <class View>
  __device__ explicit Share(const Batch<View>& batch) : layer(0) {
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

__global__ __launch_bounds__(kThreads) void transposed_products_kernel(Batch<LayerView> batch) {
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

__global__ __launch_bounds__(kThreads) void products_kernel(Batch<LayerView> batch, bool iterate) {
  const Share share(batch);
  const LayerView& l = batch.layers[share.layer];
  const int row = min(share.block * kWarps + warp_id(), l.out - 1);  // surplus warps repeat the last row
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
    if (l.narrow) store_floats(l.narrow + i, w);
  }
}

__global__ __launch_bounds__(kThreads) void normalise_weight_kernel(Batch<LayerView> batch, bool iterate) {
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

template <int N>
__device__ inline float inner_product(const GradientView& l, int64_t first) {
  const int64_t end = min(int64_t{l.out} * l.rest, first + l.per_block);
  float sum = 0;
#pragma unroll 4
  for (int64_t i = first + static_cast<int64_t>(threadIdx.x) * N; i < end; i += kThreads * N) {
    const auto a = load_vector<N>(l.dy + i), b = load_vector<N>(l.y + i);
#pragma unroll
    for (int k = 0; k < N; ++k) sum = fmaf(a[k], b[k], sum);
  }
  return sum;
}

// partial[b] = <dy, y> over the elements of block b.
__global__ __launch_bounds__(kThreads) void inner_products_kernel(Batch<GradientView> batch) {
  GPU_SHARED(shared, float[kWarps]);
  const Share share(batch);
  const GradientView& l = batch.layers[share.layer];
  const int64_t first = int64_t{share.block} * l.per_block;
  const float sum = block_sum(l.wide ? inner_product<4>(l, first) : inner_product<1>(l, first), shared);
  if (threadIdx.x == 0) l.partial[share.block] = sum;
}

template <int N>
__device__ inline void weight_gradient(const GradientView& l, int64_t first, float inverse, float along_factor) {
  const int64_t end = min(int64_t{l.out} * l.rest, first + kElementsPerBlock);
  for (int64_t i = first + static_cast<int64_t>(threadIdx.x) * N; i < end; i += kThreads * N) {
    const auto row = static_cast<uint32_t>(i) / static_cast<uint32_t>(l.rest);
    const float along = along_factor * l.u[row];
    const auto direction = load_vector<N>(l.v + (i - int64_t{row} * l.rest));
    auto g = load_vector<N>(l.dy + i);
#pragma unroll
    for (int k = 0; k < N; ++k) g[k] = g[k] * inverse - along * direction[k];
    if (l.alive && !l.alive[i / kLongestRun]) g = {};
    store_vector(l.dweight + i, g);
  }
}

// dW = ( dy - <dy, y> u v^T ) / sigma. Every warp sums the partial products for itself.
__global__ __launch_bounds__(kThreads) void weight_gradients_kernel(Batch<GradientView> batch) {
  const Share share(batch);
  const GradientView& l = batch.layers[share.layer];
  float inner = 0;
  for (int i = lane_id(); i < l.partials; i += kWarp) inner += l.partial[i];
  inner = warp_sum(inner);
  const float inverse = 1 / l.sigma[0];
  const int64_t first = int64_t{share.block} * kElementsPerBlock;
  l.wide ? weight_gradient<4>(l, first, inverse, inner * inverse)
         : weight_gradient<1>(l, first, inverse, inner * inverse);
}

// --- the table's entries ---------------------------------------------------------------------------------------------

bool rows_are_wide(int64_t rest, std::initializer_list<const Tensor*> tensors) {
  return rest % 4 == 0 && aligned_to_16_bytes(tensors);
}

template <class View>
int blocks_of_elements(const View& l) {
  return static_cast<int>(ceil_div(int64_t{l.out} * l.rest, int64_t{kElementsPerBlock}));
}

// Launches the kernel with blocks_of(layer) blocks for each layer.
template <class View, class BlocksOf, class... P, class... A>
void launch_shared(Context& ctx, Batch<View>& batch, const BlocksOf& blocks_of, void (*kernel)(P...), A... args) {
  int blocks = 0;
  for (int i = 0; i < batch.count; ++i) {
    batch.first_block[i] = blocks;
    blocks += blocks_of(batch.layers[i]);
  }
  batch.first_block[batch.count] = blocks;
  launch(ctx, {.grid = static_cast<uint32_t>(blocks), .block = kThreads}, kernel, batch, args...);
}

void normalise_batch(Context& ctx, bool iterate, Batch<LayerView>& batch) {
  if (iterate) {
    launch_shared(
        ctx, batch, [](const LayerView& l) { return ceil_div(l.rest, l.wide ? kTileColumns<4> : kTileColumns<1>); },
        transposed_products_kernel);
  }
  launch_shared(
      ctx, batch, [](const LayerView& l) { return ceil_div(l.out, kWarps); }, products_kernel, iterate);
  launch_shared(ctx, batch, blocks_of_elements<LayerView>, normalise_weight_kernel, iterate);
}

// Calls f(batch) for as many layers at a time as fit. view_of(layer) returns its View.
template <class View, class Layer, class ViewOf, class F>
void for_each_batch(std::span<const Layer> layers, const ViewOf& view_of, const F& f) {
  Batch<View> batch;
  for (size_t i = 0; i < layers.size(); ++i) {
    batch.layers[batch.count++] = view_of(layers[i]);
    if (batch.count < kLayersPerLaunch && i + 1 < layers.size()) continue;
    f(batch);
    batch.count = 0;
  }
}

}  // namespace

void spectral_norm_forward(Context& ctx, bool iterate, std::span<const SpectralNormLayer> layers, Tensor& workspace) {
  WorkspaceLayout layout(workspace.bytes);
  const auto view_of = [&](const SpectralNormLayer& layer) {
    const int64_t out = layer.u.elements(), rest = layer.v.elements();
    return LayerView{.weight = layer.weight.data<float>(),
                     .u = layer.u.data<float>(),
                     .v = layer.v.data<float>(),
                     .u_used = layer.u_used.data<float>(),
                     .v_used = layer.v_used.data<float>(),
                     .sigma = layer.sigma.data<float>(),
                     .y = layer.y.data<float>(),
                     .narrow = layer.narrow ? layer.narrow.data<bf16>() : nullptr,
                     .t = layout.carve<float>(static_cast<size_t>(rest)),
                     .p = layout.carve<float>(static_cast<size_t>(out)),
                     .out = static_cast<int>(out),
                     .rest = static_cast<int>(rest),
                     .eps = static_cast<float>(layer.eps),
                     .wide = rows_are_wide(rest, {&layer.weight, &layer.v, &layer.y})};
  };
  for_each_batch<LayerView>(layers, view_of, [&](Batch<LayerView>& batch) { normalise_batch(ctx, iterate, batch); });
}

void spectral_norm_backward(Context& ctx, std::span<const SpectralNormGradient> layers, Tensor& workspace) {
  WorkspaceLayout layout(workspace.bytes);
  const auto view_of = [&](const SpectralNormGradient& layer) {
    const int64_t n = layer.y.elements(), rest = layer.v_used.elements();
    const int64_t pieces = ceil_div(n, int64_t{kElementsPerBlock});
    const int64_t per_block = kElementsPerBlock * ceil_div(pieces, kSpectralNormPartialSums);
    return GradientView{.y = layer.y.data<float>(),
                        .u = layer.u_used.data<float>(),
                        .v = layer.v_used.data<float>(),
                        .sigma = layer.sigma.data<float>(),
                        .dy = layer.dy.data<float>(),
                        .alive = layer.mask ? layer.mask.data<uint8_t>() : nullptr,
                        .dweight = layer.dweight.data<float>(),
                        .partial = layout.carve<float>(kSpectralNormPartialSums),
                        .out = static_cast<int>(n / rest),
                        .rest = static_cast<int>(rest),
                        .per_block = static_cast<int>(per_block),
                        .partials = static_cast<int>(ceil_div(n, per_block)),
                        .wide = rows_are_wide(rest, {&layer.y, &layer.dy, &layer.v_used, &layer.dweight})};
  };
  for_each_batch<GradientView>(layers, view_of, [&](Batch<GradientView>& batch) {
    launch_shared(
        ctx, batch, [](const GradientView& l) { return l.partials; }, inner_products_kernel);
    launch_shared(ctx, batch, blocks_of_elements<GradientView>, weight_gradients_kernel);
  });
}

}  // namespace poise::POISE_GPU
