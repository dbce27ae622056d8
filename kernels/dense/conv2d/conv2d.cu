// Convolution on the GPU: which matrix products a pass becomes, where their operands are, and how the work is divided.
//
//   pass             gathers from   at positions of   weights
//   forward          x              y                 outputs (C_out) slowest
//   backward_input   dy             x                 outputs (C_in) fastest: W is read as stored, not transposed
//   backward_weight  x or dy        the other one     none; a second kernel adds up the partial sums
//   few outputs      x or dy        itself            all taps at once; a second kernel sums the taps of each output
//
// An ordinary layer is a correlation from x (large) to y (small). A layer that upsamples its input is, with folded
// weights (packed_weights.cuh), the transpose of a correlation of stride 2 from y (large) to x (small), so each pass
// walks over the other side. A strided layer's input gradient and an upsampling layer's forward pass are therefore the
// same kernel, and a 3x3 upsampling layer costs 16 multiply-adds where its definition has 36.
#include "kernels/dense/conv2d/conv2d.h"

#include <vector>

#include "kernels/core/workspace_layout.h"
#include "kernels/dense/conv2d/conv2d_passes.h"
#include "kernels/dense/conv2d/derived_weights.h"
#include "kernels/gpu/device_limits.h"
#include "kernels/gpu/tile_gemm.cuh"

namespace poise::POISE_GPU {
namespace {

// Multiply-adds per clock that a multiprocessor is expected to reach, used to choose a tiling. These are estimates from
// the bytes that a block loads from L2 (28 per clock) and from the instruction rate; not yet measured on a GPU.
struct Rates {
  double large, small;
};
template <class Math>
constexpr Rates kRates{};
template <>
constexpr Rates kRates<Bf16>{900, 450};
template <>
constexpr Rates kRates<Tf32>{450, 225};
template <>
constexpr Rates kRates<Fp32>{110, 90};

// How a product of m x n outputs per stride phase is divided: the block size and split-K slices that a model of one
// multiprocessor's clocks rates cheapest. Depends only on shapes and `choice`, and so does the order of summation.
struct TilingChoice {
  BlockSize size = BlockSize::large;
  int splits = 1;

  // `always_partial`: partial sums go through memory even if there is only one slice.
  template <class Math>
  static TilingChoice of(const GemmChoice& choice, int64_t m, int64_t n, int64_t phases, int64_t summands,
                         bool always_partial) {
    constexpr int64_t kDeep = kTileK<typename Math::Element>;
    constexpr double kBlockOverhead = 1500, kSecondPass = 4000, kL2BytesPerClock = 5000;
    constexpr int kMaxSplits = 64;
    const int64_t tiles = ceil_div(summands, kDeep);
    const int wanted_splits = static_cast<int>(std::min<int64_t>(choice.splits, tiles));
    TilingChoice best;
    double best_clocks = -1;
    for (const BlockSize size : {BlockSize::large, BlockSize::small}) {
      const int64_t edge = edge_of(size);
      if (choice.block != 0 && choice.block != edge) continue;
      const double rate = size == BlockSize::large ? kRates<Math>.large : kRates<Math>.small;
      const double tile_clocks = static_cast<double>(edge * edge * kDeep) / rate;
      for (int splits = 1; splits <= kMaxSplits && splits <= tiles; ++splits) {
        const int64_t each = ceil_div<int64_t>(tiles, splits);
        if (wanted_splits != 0 ? splits != wanted_splits : ceil_div(tiles, each) != splits) continue;  // no empty parts
        const int64_t blocks = ceil_div(m, edge) * ceil_div(n, edge) * phases * splits;
        const double turns = static_cast<double>(ceil_div(blocks, kMultiprocessors));
        double clocks = turns * (static_cast<double>(each) * tile_clocks + kBlockOverhead);
        if (splits > 1 || always_partial) {
          clocks += kSecondPass + static_cast<double>(m * n * phases * splits * 8) / kL2BytesPerClock;
        }
        if (best_clocks < 0 || clocks < best_clocks) best_clocks = clocks, best = {size, splits};
      }
    }
    return best;
  }
};

int to_int(int64_t n) {
  constexpr int64_t kLimit = int64_t{1} << 30;
  if (n >= kLimit) {
    fail(ErrorKind::runtime, "conv2d on the GPU expects tensors of fewer than 2^30 elements but got " +
                                 std::to_string(n) + "; use a smaller batch");
  }
  return static_cast<int>(n);
}

int64_t round_up(int64_t n, int64_t multiple) { return ceil_div(n, multiple) * multiple; }

// A layer as the GPU computes it, the same for all passes. A side with fewer channels than fit in 16 bytes is gathered
// element by element (FewChannels); other channels that are not a multiple of 16 bytes are read from padded copies.
struct Layer {
  Conv2dGeometry g;
  Axis h, w;
  bool enlarged;
  int64_t chunk;    // elements in 16 bytes
  int64_t in, out;  // channels, rounded up to chunks
  WeightShape weight;
  bool is_flat;  // x has few channels; a weight row has flat_row() elements, without gaps between taps

  Layer(const Conv2dGeometry& geometry, DType dtype)
      : g(geometry), enlarged(g.upsample == 2), chunk(16 / static_cast<int64_t>(size_of(dtype))) {
    require(g.enlargement_allowed() && (g.pool == 1 || g.pools_sums()),
            "unsupported combination of upsampling and pooling");
    Fold fold = enlarged ? Fold::enlarged : Fold::none;
    if (g.pools_sums()) {
      fold = Fold::pooled;
      g.pool = 1;
      g.kh = g.kw = kPooledTaps;
      g.stride_h = g.stride_w = 2;
    }
    constexpr int64_t kMaxExtent = 1 << 13;
    if (g.h > kMaxExtent || g.w > kMaxExtent) {
      fail(ErrorKind::runtime,
           "conv2d on the GPU expects images of at most 8192x8192 but got " + g.x_shape().to_string());
    }
    for (const Shape& s : {g.x_shape(), g.weight_shape(), g.y_shape()}) to_int(s.elements());
    h = axis(g.h, g.out_h(), g.kh, g.stride_h, g.pad_h);
    w = axis(g.w, g.out_w(), g.kw, g.stride_w, g.pad_w);
    in = round_up(g.c_in, chunk);
    out = round_up(g.c_out, chunk);
    weight = {to_int(g.c_out), to_int(geometry.kh), to_int(geometry.kw), to_int(g.c_in), fold};
    is_flat = is_few(g.c_in) && fold == Fold::none && g.stride_h == 1 && g.stride_w == 1;
  }

  bool is_few(int64_t channels) const { return channels < chunk; }
  // Channels that a pass reads of a side that it gathers: padded, unless they are few and gathered element by element.
  int64_t gathered(int64_t channels) const { return is_few(channels) ? channels : round_up(channels, chunk); }
  int64_t pairs() const { return g.kh * g.kw * g.c_in; }
  int64_t flat_row() const { return round_up(pairs(), chunk); }
  Shape packed_shape() const {
    return is_flat ? Shape{g.c_out, 1, 1, flat_row()} : Shape{g.c_out, weight.taps_h(), weight.taps_w(), in};
  }
  bool packs_weight() const { return is_flat ? flat_row() != pairs() : weight.folds() || in != g.c_in; }
  PackedWeight packing(const Tensor& from, void* to) const {
    if (!is_flat) return {weight, to_int(in), from.bytes, to};
    return {{to_int(g.c_out), 1, 1, to_int(pairs()), Fold::none}, to_int(flat_row()), from.bytes, to};
  }
  // Positions per axis, and multiply-adds, of a pass with this walk.
  int64_t positions_h(Walk walk) const { return walk == Walk::outputs ? h.small : ceil_div(h.large, h.stride); }
  int64_t positions_w(Walk walk) const { return walk == Walk::outputs ? w.small : ceil_div(w.large, w.stride); }
  double macs(Walk walk) const {
    return static_cast<double>(g.n * g.c_in * g.c_out) * meetings(h, walk) * meetings(w, walk);
  }

  Gather gather(Walk walk, int64_t channels) const {
    Gather gather{.walk = walk, .h = h, .w = w, .channels = to_int(channels)};
    const int64_t rows = positions_h(walk), columns = positions_w(walk);
    gather.positions = to_int(g.n * rows * columns);
    gather.per_image = Divisor(static_cast<uint32_t>(rows * columns));
    gather.per_row = Divisor(static_cast<uint32_t>(columns));
    return gather;
  }

 private:
  Axis axis(int64_t x, int64_t y, int64_t k, int64_t stride, int64_t pad) const {
    if (enlarged) return {to_int(y), to_int(x), to_int(k + 1), 2, to_int(k / 2)};
    return {to_int(x), to_int(y), to_int(k), to_int(stride), to_int(pad)};
  }
  // The number of (position, tap) pairs along one axis.
  static double meetings(const Axis& a, Walk walk) {
    if (walk == Walk::outputs) return static_cast<double>(a.small) * a.taps;
    double sum = 0;
    for (int tap = 0; tap < a.taps; ++tap) {
      const int first = ((tap - a.pad) % a.stride + a.stride) % a.stride;  // in the phase that has this tap
      if (first < a.large) sum += ceil_div(a.large - first, a.stride);
    }
    return sum;
  }
};

// forward and backward_input. With few outputs (typically images) a block would be nearly empty, and it would read the
// source once per tap. In that case the taps become outputs of a 1x1 convolution, which reads the source once, and a
// second kernel sums the taps of each position: 6 times fewer bytes and multiply-adds for 256 channels to 3.
struct ImplicitGemmPass {
  Layer layer;  // layer.g is the convolution that the product computes: pooling has become a stride
  bool forward, taps_as_outputs;
  Walk walk;
  int64_t source_channels, read_channels, channels;  // of the source, as stored and as read; of the result
  Shape source_shape, y_shape;
  int64_t columns, rows;  // of the product: rows = positions of all phases
  TilingChoice tiling;
  void *source = nullptr, *weight = nullptr;  // padded or folded copies
  float* partial = nullptr;
  size_t workspace_bytes;

  ImplicitGemmPass(const Context& ctx, const Conv2dGeometry& geometry, DType dtype, Pass pass, void* workspace)
      : layer(geometry, dtype), forward(pass == Pass::forward) {
    const Conv2dGeometry& g = layer.g;
    walk = forward == layer.enlarged ? Walk::inputs : Walk::outputs;
    source_channels = forward ? g.c_in : g.c_out;
    read_channels = !forward ? layer.gathered(g.c_out) : layer.is_flat ? g.c_in : layer.in;
    channels = forward ? g.c_out : g.c_in;
    source_shape = forward ? g.x_shape() : g.y_shape();
    y_shape = forward ? g.y_shape() : g.x_shape();

    constexpr int64_t kFewOutputs = 8;
    const bool stride_1 = layer.h.stride == 1 && layer.w.stride == 1;
    taps_as_outputs = stride_1 && g.kh * g.kw > 1 && channels <= kFewOutputs && !(forward && layer.is_flat);
    const int64_t stride_h = walk == Walk::outputs ? 1 : layer.h.stride,
                  stride_w = walk == Walk::outputs ? 1 : layer.w.stride;
    int64_t positions = g.n * layer.positions_h(walk) * layer.positions_w(walk);
    int64_t taps = ceil_div<int64_t>(layer.h.taps, stride_h) * ceil_div<int64_t>(layer.w.taps, stride_w);
    rows = y_shape.rows();
    columns = channels;
    if (taps_as_outputs) {
      rows = positions = source_shape.rows();
      columns = forward ? taps * channels : layer.is_flat ? layer.flat_row() : taps * layer.in;
      taps = 1;
    }
    dispatch_math(ctx, dtype, [&]<class Math>() {
      tiling = TilingChoice::of<Math>(ctx.gemm, positions, columns, stride_h * stride_w, taps * read_channels,
                                      taps_as_outputs);
    });

    WorkspaceLayout layout(workspace);
    const size_t element = size_of(dtype);
    if (source_channels != read_channels) {
      source = layout.carve<char>(static_cast<size_t>(source_shape.rows() * read_channels) * element);
    }
    if (layer.packs_weight()) {
      weight = layout.carve<char>(static_cast<size_t>(layer.packed_shape().elements()) * element);
    }
    if (tiling.splits > 1 || taps_as_outputs) {
      partial = layout.carve<float>(static_cast<size_t>(to_int(tiling.splits * rows * columns)));
    }
    workspace_bytes = layout.bytes();
  }

  double macs() const {
    const Conv2dGeometry& g = layer.g;
    return taps_as_outputs ? static_cast<double>(rows * g.kh * g.kw) * static_cast<double>(g.c_in * g.c_out)
                           : layer.macs(walk);
  }

  void run(Context& ctx, DType dtype, const Tensor& from, const Tensor& weights, const Ending& ending,
           Tensor& y) const {
    if (source) pad_channels(ctx, dtype, source_shape.rows(), source_channels, read_channels, from.bytes, source);
    const bool packs = weight && weights.shape != layer.packed_shape();
    if (packs) pack_weights(ctx, dtype, dtype, {{layer.packing(weights, weight)}});
    const ImplicitGemm gemm{.gather = taps_as_outputs ? each_pixel() : layer.gather(walk, read_channels),
                            .order = forward ? WeightOrder::outputs_slowest : WeightOrder::outputs_fastest,
                            .source = source ? source : from.bytes,
                            .weight = packs ? weight : weights.bytes,
                            .y = y.bytes,
                            .partial = partial,
                            .outputs = to_int(columns),
                            .weight_inner = to_int(weight_inner()),
                            .weight_outer = to_int(layer.g.c_out),
                            .splits = tiling.splits,
                            .y_elements = rows * columns,
                            .ending = ending};
    dispatch_math(ctx, dtype, [&]<class Math>() { launch_implicit_gemm<Math>(ctx, gemm, tiling.size); });
    if (taps_as_outputs) {
      sum_taps(ctx, dtype, tap_sums(), ending, y.bytes);
    } else if (partial) {
      sum_splits(ctx, dtype, rows * columns, channels, tiling.splits, partial, ending, y.bytes);
    }
  }

  int64_t weight_inner() const {
    if (layer.is_flat) return layer.flat_row();
    return taps_as_outputs && !forward ? columns : layer.in;
  }

  // Each pixel of the source once, for a 1x1 convolution.
  Gather each_pixel() const {
    const int h = to_int(source_shape[1]), w = to_int(source_shape[2]);
    Gather gather{.h = {.large = h, .small = h}, .w = {.large = w, .small = w}, .channels = to_int(read_channels)};
    gather.positions = to_int(source_shape.rows());
    gather.per_image = Divisor(static_cast<uint32_t>(h * w));
    gather.per_row = Divisor(static_cast<uint32_t>(w));
    return gather;
  }

  TapSums tap_sums() const {
    const Axis &h = layer.h, &w = layer.w;
    return {.partial = partial,
            .splits = tiling.splits,
            .images = to_int(layer.g.n),
            .source_h = to_int(source_shape[1]),
            .source_w = to_int(source_shape[2]),
            .columns = to_int(columns),
            .y_h = to_int(y_shape[1]),
            .y_w = to_int(y_shape[2]),
            .channels = to_int(channels),
            .kh = h.taps,
            .kw = w.taps,
            .pad_h = h.pad,
            .pad_w = w.pad,
            .sign = forward ? 1 : -1,
            .per_channel = forward ? h.taps * w.taps : 1,
            .per_tap = forward ? 1 : to_int(layer.is_flat ? layer.g.c_in : layer.in)};
  }
};

struct WeightGradientPass {
  Layer layer;
  Walk walk;
  bool gathers_y;
  int64_t gathered_channels;
  TilingChoice tiling;
  void *x = nullptr, *dy = nullptr;  // padded copies
  float *partial = nullptr, *bias_partial = nullptr;
  size_t workspace_bytes;

  WeightGradientPass(const Context& ctx, const Conv2dGeometry& geometry, DType dtype, void* workspace)
      : layer(geometry, dtype) {
    const Conv2dGeometry& g = layer.g;
    // The product has a column per tap and channel of the gathered side. Gathering the side with fewer channels is
    // better: the block's other dimension is then not mostly padding.
    const bool either = !layer.enlarged && g.stride_h == 1 && g.stride_w == 1;
    walk = either && g.c_out < g.c_in ? Walk::inputs : Walk::outputs;
    gathers_y = (walk == Walk::outputs) == layer.enlarged;
    const int64_t taps = int64_t{layer.h.taps} * layer.w.taps;
    gathered_channels = layer.gathered(gathers_y ? g.c_out : g.c_in);
    const int64_t x_channels = gathers_y ? layer.in : gathered_channels;
    const int64_t y_channels = gathers_y ? gathered_channels : layer.out;
    const int64_t rows = gathers_y ? layer.in : layer.out, columns = taps * gathered_channels;
    const int64_t positions = g.n * layer.positions_h(walk) * layer.positions_w(walk);
    dispatch_math(ctx, dtype,
                  [&]<class Math>() { tiling = TilingChoice::of<Math>(ctx.gemm, rows, columns, 1, positions, true); });

    WorkspaceLayout layout(workspace);
    const size_t element = size_of(dtype);
    const int64_t x_rows = g.x_shape().rows(), y_rows = g.y_shape().rows();
    if (x_channels != g.c_in) x = layout.carve<char>(static_cast<size_t>(x_rows * x_channels) * element);
    if (y_channels != g.c_out) dy = layout.carve<char>(static_cast<size_t>(y_rows * y_channels) * element);
    partial = layout.carve<float>(static_cast<size_t>(tiling.splits * rows * columns));
    bias_partial = layout.carve<float>(static_cast<size_t>(column_sum_ranges(y_rows) * layer.out));
    workspace_bytes = layout.bytes();
  }

  void run(Context& ctx, DType dtype, const Tensor& x_given, const Tensor& dy_given, Tensor& dweight,
           Tensor& dbias) const {
    const Conv2dGeometry& g = layer.g;
    if (x) pad_channels(ctx, dtype, g.x_shape().rows(), g.c_in, layer.in, x_given.bytes, x);
    if (dy) pad_channels(ctx, dtype, g.y_shape().rows(), g.c_out, layer.out, dy_given.bytes, dy);
    const void* const x_used = x ? x : x_given.bytes;
    const void* const dy_used = dy ? dy : dy_given.bytes;
    const WeightGradientGemm gemm{
        .gather = layer.gather(walk, gathered_channels),
        .source = gathers_y ? dy_used : x_used,
        .dense = gathers_y ? x_used : dy_used,
        .dense_channels = to_int(gathers_y ? layer.in : layer.out),
        .partial = partial,
        .splits = tiling.splits,
        .bias = sums_of_columns(dy_used, g.y_shape().rows(), dy ? layer.out : g.c_out, dbias ? bias_partial : nullptr)};
    dispatch_math(ctx, dtype, [&]<class Math>() { launch_weight_gradient_gemm<Math>(ctx, gemm, tiling.size); });
    finish_weight_gradient(ctx, layer.weight,
                           {.partial = partial,
                            .splits = tiling.splits,
                            .rows = gemm.dense_channels,
                            .columns = gemm.gather.channels,
                            .gathers_y = gathers_y,
                            .bias = gemm.bias},
                           dweight.data<float>(), dbias ? dbias.data<float>() : nullptr);
  }
};

}  // namespace

Shape conv2d_weight_shape(const Context&, const Conv2dGeometry& g, DType dtype) {
  const Layer layer(g, dtype);
  return layer.packs_weight() ? layer.packed_shape() : g.weight_shape();
}

void derive_weights(Context& ctx, std::span<const DerivedWeight> weights) {
  std::vector<PackedWeight> packed;
  for (const DerivedWeight& w : weights) {
    const bool stays = w.derived.shape == w.weight.shape;
    const int n = to_int(w.weight.elements());
    packed.push_back(stays ? PackedWeight{{1, 1, 1, n, Fold::none}, n, w.weight.bytes, w.derived.bytes}
                           : Layer(w.geometry, w.derived.dtype).packing(w.weight, w.derived.bytes));
  }
  if (!weights.empty()) pack_weights(ctx, DType::f32, weights.front().derived.dtype, packed);
}

bool conv2d_finishes(const Context&) { return true; }
bool conv2d_normalises(const Context&, DType) { return false; }

Conv2dPlan conv2d_plan(const Context& ctx, const Conv2dGeometry& g, DType dtype, Pass pass) {
  if (pass == Pass::backward_weight) {
    const WeightGradientPass p(ctx, g, dtype, nullptr);
    return {.workspace_bytes = p.workspace_bytes, .executed_macs = p.layer.macs(p.walk)};
  }
  const ImplicitGemmPass p(ctx, g, dtype, pass, nullptr);
  return {.workspace_bytes = p.workspace_bytes, .executed_macs = p.macs()};
}

void conv2d_forward(Context& ctx, const Conv2dGeometry& g, const LayerInput& in, const Tensor& weight,
                    const Tensor& bias, const Tensor& rectified, Tensor& workspace, Tensor& y) {
  const Tensor& x = read_directly(in);
  const Ending ending{
      .bias = bias ? bias.data<float>() : nullptr, .adds = g.adds, .relu = g.relu, .also_rectified = rectified.bytes};
  ImplicitGemmPass(ctx, g, x.dtype, Pass::forward, workspace.bytes).run(ctx, x.dtype, x, weight, ending, y);
}

void conv2d_backward_input(Context& ctx, const Conv2dGeometry& g, const Tensor& dy, const Tensor& weight,
                           const Tensor& rectified, Tensor& workspace, Tensor& dx) {
  const Ending ending{.mask = rectified.bytes, .adds = g.adds};
  ImplicitGemmPass(ctx, g, dy.dtype, Pass::backward_input, workspace.bytes).run(ctx, dy.dtype, dy, weight, ending, dx);
}

void conv2d_backward_weight(Context& ctx, const Conv2dGeometry& g, const Tensor& x, const Tensor& dy, Tensor& workspace,
                            Tensor& dweight, Tensor& dbias) {
  WeightGradientPass(ctx, g, x.dtype, workspace.bytes).run(ctx, x.dtype, x, dy, dweight, dbias);
}

}  // namespace poise::POISE_GPU
