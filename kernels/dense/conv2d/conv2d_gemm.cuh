// The kernels of conv2d_gemm.h. A block computes a tile of Shape::m positions by Shape::n outputs (in the weight
// gradient: channels of `dense` by (tap, channel) pairs), divided among its warps.
//
// Bytes from memory: the source once per column of blocks that no longer finds it in L2, the weights about once. From
// L2 to the multiprocessor, per block and tile of k: (m + n) * 128 bytes for m * n * kTileK multiply-adds, that is 32
// per byte of bf16 with 128 x 128. FLOPs: 2 * positions * outputs * taps * channels, rounded up to whole blocks.
#pragma once
#include <type_traits>

#include "kernels/dense/conv2d/conv2d_loaders.cuh"
#include "kernels/gpu/column_sums.cuh"
#include "kernels/gpu/tile_gemm.cuh"

namespace poise::POISE_GPU {

// Tiles first .. first+count-1 of a sum: one of its `splits` slices (split-K).
struct SplitRange {
  int first, count;
  __device__ SplitRange(int tiles, int splits, int split) {
    const int each = ceil_div(tiles, splits);
    first = min(tiles, split * each);
    count = min(tiles, first + each) - first;
  }
};

// Grid: x = (block of positions, block of outputs), outputs fastest, so that blocks that read the same patches run
// together; y = split-K slice; z = stride phase.
template <class Math, WeightOrder order, class Shape, bool few_channels>
__global__ void __launch_bounds__(Shape::threads, Shape::blocks_per_multiprocessor)
    implicit_gemm_kernel(const __grid_constant__ ImplicitGemm c) {
  using T = typename Math::Element;
  constexpr Major kMajorB = order == WeightOrder::outputs_slowest ? Major::k : Major::mn;
  using Shared = GemmShared<T, Shape>;
  GPU_DYNAMIC_SHARED(shared, Shared);
  const Gather& g = c.gather;
  const PlaneWalk walk(g, static_cast<int>(blockIdx.z));
  const int blocks_n = ceil_div(c.outputs, Shape::n);
  const int block_m = static_cast<int>(blockIdx.x) / blocks_n;
  const int first_position = block_m * Shape::m;
  const int first_output = (static_cast<int>(blockIdx.x) - block_m * blocks_n) * Shape::n;
  const int tiles = ceil_div(walk.taps() * g.channels, kTileK<T>);
  const SplitRange range(tiles, c.splits, static_cast<int>(blockIdx.y));

  typename Math::template Product<Major::k, kMajorB, Shape> product;
  using LoadA = std::conditional_t<few_channels, FewChannels<T, Major::k, Shape::m, Shape::threads>,
                                   PatchRows<T, Shape::m, Shape::threads>>;
  using Rows = std::conditional_t<few_channels, FlatWeightRows<T, Shape::n, Shape::threads>,
                                  WeightRows<T, Shape::n, Shape::threads>>;
  using LoadB = std::conditional_t<kMajorB == Major::k, Rows, WeightColumns<T, Shape::n, Shape::threads>>;
  LoadA load_a(g, walk, c.source, range.first * kTileK<T>, first_position);
  LoadB load_b(c, walk, first_output, range.first * kTileK<T>);
  sum_tiles<T, Shape>(shared, range.count, load_a, load_b, product);

  const auto place = [&](int row) -> int64_t {
    const int index = first_position + row;
    if (index >= g.positions) return -1;
    const Position p(g, index);
    const int h = p.h * walk.h.place_scale + walk.h.place_offset, w = p.w * walk.w.place_scale + walk.w.place_offset;
    if (h >= walk.h.destination || w >= walk.w.destination) return -1;
    return ((int64_t{p.image} * walk.h.destination + h) * walk.w.destination + w) * c.outputs + first_output;
  };
  const int columns = c.outputs - first_output;
  if (c.partial) {
    float* const part = c.partial + static_cast<int64_t>(blockIdx.y) * c.y_elements;
    store_sums<float>(shared, product, {}, part, columns, c.outputs % 4 == 0 && c.y_elements % 4 == 0, place);
  } else {
    Ending ending = c.ending;
    if (ending.bias) ending.bias += first_output;
    store_sums<T>(shared, product, ending, static_cast<T*>(c.y), columns, c.outputs % kChunk<T> == 0, place);
  }
}

// Runs block number `block` of the first pass of the bias gradient, in vectors of N.
template <class T, int N, class Shape>
__device__ inline void sum_bias_columns(GemmShared<T, Shape>& shared, const ColumnSums& bias, int block) {
  constexpr int kRows = Shape::threads / kTileVectors;
  using Tile = TileShared<N, kRows>;
  static_assert(sizeof(Tile) <= sizeof(shared.sums));
  void* const memory = shared.sums;
  if (block < column_sum_blocks<N>(bias)) sum_columns<T, N, kRows>(bias, block, *static_cast<Tile*>(memory));
}

// Grid: x = (block of dense channels, block of (tap, channel) pairs), y = slice of the positions. Blocks past the last
// of these in x sum columns of dy.
template <class Math, class Shape, bool few_channels>
__global__ void __launch_bounds__(Shape::threads, Shape::blocks_per_multiprocessor)
    weight_gradient_gemm_kernel(const __grid_constant__ WeightGradientGemm c) {
  using T = typename Math::Element;
  using Shared = GemmShared<T, Shape>;
  GPU_DYNAMIC_SHARED(shared, Shared);
  const Gather& g = c.gather;
  const PlaneWalk walk(g, 0);
  const int columns = walk.taps() * g.channels, blocks_n = ceil_div(columns, Shape::n);
  const int block_m = static_cast<int>(blockIdx.x) / blocks_n;
  if (const int beyond = static_cast<int>(blockIdx.x) - ceil_div(c.dense_channels, Shape::m) * blocks_n; beyond >= 0) {
    const int block = beyond * c.splits + static_cast<int>(blockIdx.y);
    if (few_channels && c.bias.channels % kChunk<T> != 0) return sum_bias_columns<T, 1>(shared, c.bias, block);
    return sum_bias_columns<T, kChunk<T>>(shared, c.bias, block);
  }
  const int first_channel = block_m * Shape::m;
  const int first_column = (static_cast<int>(blockIdx.x) - block_m * blocks_n) * Shape::n;
  const SplitRange range(ceil_div(g.positions, kTileK<T>), c.splits, static_cast<int>(blockIdx.y));

  typename Math::template Product<Major::mn, Major::mn, Shape> product;
  DenseColumns<T, Shape::m, Shape::threads> load_a(c, first_channel, range.first * kTileK<T>);
  using LoadB = std::conditional_t<few_channels, FewChannels<T, Major::mn, Shape::n, Shape::threads>,
                                   PatchColumns<T, Shape::n, Shape::threads>>;
  LoadB load_b(g, walk, c.source, first_column, range.first * kTileK<T>);
  sum_tiles<T, Shape>(shared, range.count, load_a, load_b, product);

  float* const part = c.partial + static_cast<int64_t>(blockIdx.y) * c.dense_channels * columns;
  const bool aligned = !few_channels || columns % 4 == 0;
  store_sums<float>(shared, product, {}, part, columns - first_column, aligned, [&](int row) -> int64_t {
    const int channel = first_channel + row;
    return channel < c.dense_channels ? int64_t{channel} * columns + first_column : -1;
  });
}

// The block shapes for each arithmetic. On tensor cores, 128 x 128 is four warps of 64 x 64, the shape that reads least
// shared memory per multiply-add within 255 registers; two blocks per multiprocessor hide each other's barriers. Three
// 64 x 64 blocks fit, with more copies in flight, for layers that are too small to fill the device otherwise.
template <class Math>
struct BlockShapes {
  using Large = BlockShape<128, 128, 64, 64, 3, 2>;
  using Small = BlockShape<64, 64, 32, 32, 4, 3>;
};
template <>
struct BlockShapes<Fp32> {
  using Large = BlockShape<128, 128, 32, 64, 3, 1>;
  using Small = BlockShape<64, 64, 32, 32, 3, 3>;
};

// f<few_channels>()
template <class Math, class F>
void dispatch_channels(const Gather& gather, const F& f) {
  const bool whole = gather.channels % kChunk<typename Math::Element> == 0;
  whole ? f.template operator()<false>() : f.template operator()<true>();
}

template <class Math, class Shape>
void launch_implicit_gemm_with(Context& ctx, const ImplicitGemm& c) {
  const Gather& g = c.gather;
  const uint32_t phases = g.walk == Walk::outputs ? 1 : static_cast<uint32_t>(g.h.stride * g.w.stride);
  const LaunchShape launch_shape{
      .grid = {static_cast<uint32_t>(ceil_div(g.positions, Shape::m) * ceil_div(c.outputs, Shape::n)),
               static_cast<uint32_t>(c.splits), phases},
      .block = static_cast<uint32_t>(Shape::threads),
      .shared_bytes = sizeof(GemmShared<typename Math::Element, Shape>)};
  dispatch_channels<Math>(g, [&]<bool few_channels>() {
    if (c.order == WeightOrder::outputs_slowest) {
      launch(ctx, launch_shape, implicit_gemm_kernel<Math, WeightOrder::outputs_slowest, Shape, few_channels>, c);
    } else {
      launch(ctx, launch_shape, implicit_gemm_kernel<Math, WeightOrder::outputs_fastest, Shape, few_channels>, c);
    }
  });
}

template <class Math, class Shape>
void launch_weight_gradient_gemm_with(Context& ctx, const WeightGradientGemm& c) {
  const int columns = c.gather.h.taps * c.gather.w.taps * c.gather.channels;
  const int blocks = ceil_div(c.dense_channels, Shape::m) * ceil_div(columns, Shape::n);
  constexpr int kWidth = kChunk<typename Math::Element>;
  const int bias_blocks =
      c.bias.channels % kWidth == 0 ? column_sum_blocks<kWidth>(c.bias) : column_sum_blocks<1>(c.bias);
  const LaunchShape launch_shape{
      .grid = {static_cast<uint32_t>(blocks + ceil_div(bias_blocks, c.splits)), static_cast<uint32_t>(c.splits), 1},
      .block = static_cast<uint32_t>(Shape::threads),
      .shared_bytes = sizeof(GemmShared<typename Math::Element, Shape>)};
  dispatch_channels<Math>(c.gather, [&]<bool few_channels>() {
    launch(ctx, launch_shape, weight_gradient_gemm_kernel<Math, Shape, few_channels>, c);
  });
}

template <class Math>
void launch_implicit_gemm(Context& ctx, const ImplicitGemm& c, BlockSize size) {
  using Shapes = BlockShapes<Math>;
  size == BlockSize::large ? launch_implicit_gemm_with<Math, typename Shapes::Large>(ctx, c)
                           : launch_implicit_gemm_with<Math, typename Shapes::Small>(ctx, c);
}

template <class Math>
void launch_weight_gradient_gemm(Context& ctx, const WeightGradientGemm& c, BlockSize size) {
  using Shapes = BlockShapes<Math>;
  size == BlockSize::large ? launch_weight_gradient_gemm_with<Math, typename Shapes::Large>(ctx, c)
                           : launch_weight_gradient_gemm_with<Math, typename Shapes::Small>(ctx, c);
}

}  // namespace poise::POISE_GPU
