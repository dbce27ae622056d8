// Block-sparse convolution on the GPU: a pass's kernel (block_products.h), its images, and how the work is cut.
//
//   pass             kernel     from       keys                         other side of a term
//   forward          DsdGemm    x          blocks of y, per parity      blocks of x
//   backward_input   DsdGemm    dy         blocks of x                  blocks of dy, per parity
//   backward_weight  SddGemm    x and dy   -                            -
//
// A 3x3 convolution of an enlarged image is four 2x2 convolutions of the small one, on summed taps (upsample_fold.h); y
// and dy then have four parities. A 1x1 convolution of an enlarged image is one of the small image whose output is
// repeated; the gradients of repeats are first added up. Where no tap reads a neighbour, all pixels are one long row.
#include "kernels/sparse/block/block_conv2d.h"

#include "kernels/core/workspace_layout.h"
#include "kernels/dense/conv2d/upsample_fold.h"
#include "kernels/gpu/blocks_2x2.cuh"
#include "kernels/gpu/device_limits.h"
#include "kernels/gpu/tile_gemm.cuh"
#include "kernels/sparse/block/block_products.h"

namespace poise::POISE_GPU {
namespace {

Positions positions_of(const Conv2dGeometry& g) {
  Positions positions;
  if (g.upsample == 2 && g.kh == 3) {
    positions.count = kFoldedPositions;
    positions.parities = kParities;
    for (int i = 0; i < kFoldedPositions; ++i) {
      const FoldedPosition at = folded_position(i);
      positions.at[i] = {.parity = at.parity, .dr = at.dr, .dc = at.dc, .taps = at.taps};
    }
    return positions;
  }
  const int k = static_cast<int>(g.kh);
  positions.count = k * k;
  for (int tap = 0; tap < k * k; ++tap) {
    positions.at[tap] = {.dr = static_cast<int8_t>(tap / k - k / 2),
                         .dc = static_cast<int8_t>(tap % k - k / 2),
                         .taps = static_cast<uint16_t>(1 << tap)};
  }
  return positions;
}

// The tile shape that wastes the least on pixels computed and slots fetched outside the images.
PixelTiles cut_pixels(int images, int h, int w, int halo, int log_pixels, int max_slots) {
  PixelTiles best;
  int64_t best_cost = -1;
  for (int log_w = 0; log_w <= log_pixels; ++log_w) {
    for (int log_h = 0; log_w + log_h <= log_pixels; ++log_h) {
      const int depth = 1 << (log_pixels - log_w - log_h);
      PixelTiles t{{.log_w = log_w, .log_h = log_h}, images, h, w, log_pixels};
      t.tiles_h = ceil_div(h, 1 << log_h);
      t.tiles_w = ceil_div(w, 1 << log_w);
      t.count = t.tiles_h * t.tiles_w * ceil_div(images, depth);
      const int slots = depth * ((1 << log_w) + 2 * halo) * ((1 << log_h) + 2 * halo);
      const int64_t cost = int64_t{t.count} * ((2 << log_pixels) + slots);
      if (slots <= max_slots && (best_cost < 0 || cost < best_cost)) best = t, best_cost = cost;
    }
  }
  return best;
}

// A layer on the GPU, the same for all passes.
struct Layer {
  Conv2dGeometry g;
  Positions positions;
  bool repeats;  // a 1x1 convolution of an enlarged image
  int out_blocks, in_blocks, halo;
  AliveBlocks alive;

  Layer(const Conv2dGeometry& geometry, const BlockIndex& index)
      : g(geometry), positions(positions_of(geometry)), repeats(g.upsample == 2 && g.kh == 1) {
    require(block_conv2d_serves(g, kBlock) && index.block == kBlock,
            "unsupported convolution: the execution switch does not choose this path for it");
    constexpr int64_t kLimit = int64_t{1} << 30;
    for (const Shape& s : {g.x_shape(), g.weight_shape(), g.y_shape()}) {
      if (s.elements() >= kLimit) {
        fail(ErrorKind::runtime, "the GPU's block-sparse conv2d expects tensors of fewer than 2^30 elements but got " +
                                     s.to_string() + "; use a smaller batch");
      }
    }
    out_blocks = static_cast<int>(g.c_out / kBlock);
    in_blocks = static_cast<int>(g.c_in / kBlock);
    halo = g.kh == 3 ? 1 : 0;
    alive = {.row_offsets = static_cast<const int32_t*>(index.row_offsets.bytes),
             .col_of_block = static_cast<const int32_t*>(index.col_of_block.bytes),
             .out_blocks = out_blocks,
             .in_blocks = in_blocks,
             .taps = static_cast<int>(g.kh * g.kw)};
  }

  double macs(const BlockIndex& index) const {
    const int64_t blocks = positions.parities == kParities ? index.alive_in_parities : index.alive;
    return static_cast<double>(blocks * kBlockWeights) * static_cast<double>(g.n * g.h * g.w);
  }
  // Views of x or dx, and of y or dy. `summed`: dy has been added up over repeats.
  ImageView x_view(void* data) const { return view(data, g.c_in, 1, 1); }
  ImageView y_view(void* data, bool summed) const {
    return view(data, g.c_out, summed ? 1 : static_cast<int>(g.upsample), positions.parities);
  }
  int64_t summed_elements() const { return repeats ? g.n * g.h * g.w * g.c_out : 0; }
  Tensor sum_repeats(Context& ctx, const Tensor& dy, void* memory) const {
    if (!repeats) return dy;
    Tensor small = dy;
    small.bytes = memory;
    small.shape = {g.n, g.h, g.w, g.c_out};
    sum_blocks_2x2(ctx, 1.0, dy, small);
    return small;
  }
  // One long row, if nothing depends on the position of a pixel in its image.
  PixelTiles tiles(bool places_matter, int log_pixels, int max_slots) const {
    const int n = static_cast<int>(g.n), h = static_cast<int>(g.h), w = static_cast<int>(g.w);
    if (halo == 0 && !places_matter) return cut_pixels(1, 1, n * h * w, 0, log_pixels, max_slots);
    return cut_pixels(n, h, w, halo, log_pixels, max_slots);
  }

 private:
  ImageView view(void* data, int64_t channels, int scale, int parities) const {
    return {.data = data,
            .h = static_cast<int>(g.h),
            .w = static_cast<int>(g.w),
            .channels = static_cast<int>(channels),
            .scale = scale,
            .parities = parities};
  }
};

// Provides the lists of a pass: those that the index keeps for this form (listed now if new), or, without room in the
// index, new ones in the workspace. `build` says what they are built from, and build.lists.carve(layout) takes their
// memory; list(ctx, build) makes them.
template <class Build, class List>
void provide_lists(Context& ctx, const BlockIndex& index, const KeptLists::Form& form, Build& build, const List& list) {
  if (!index.kept) return list(ctx, build);
  const KeptLists::Entry* const entry = index.kept->find(form);
  WorkspaceLayout measured(nullptr);
  Build(build).lists.carve(measured);
  void* const memory = entry ? entry->memory : index.kept->room_for(measured.bytes());
  if (!memory) return list(ctx, build);
  WorkspaceLayout layout(memory);
  build.lists.carve(layout);
  if (entry) return;
  index.kept->add({form, memory, [build, list](Context& c) { list(c, build); }});
  list(ctx, build);
}

// forward and backward_input.
struct DsdPass {
  Layer layer;
  const BlockIndex& blocks;
  bool forward;
  BuildTerms build{};
  DsdGemm dsd{};
  void* summed = nullptr;
  size_t workspace_bytes;

  DsdPass(const Context& ctx, const Conv2dGeometry& g, const BlockIndex& index, DType dtype, Pass pass, void* workspace)
      : layer(g, index), blocks(index), forward(pass == Pass::forward) {
    constexpr int kMaxSlots = 320, kMaxChunk = 32;
    const int parities = layer.positions.parities;
    const int planes = static_cast<int>(size_of(dtype)) * kBlock / 16;
    DsdGemm& m = dsd;
    m.tiles = layer.tiles(forward && layer.repeats, kLogDsdPixels, kMaxSlots);
    // Eight lanes read eight pixels at once. Two rows of four pixels are six slots apart, and would partly share banks;
    // the same row of two images, 36 slots apart, does not.
    m.tiles.pairs = layer.halo == 1 && m.tiles.log_w == 2 && m.tiles.log_h == 2;
    m.frame = Frame(m.tiles, layer.halo, dtype);
    m.source_blocks = forward ? layer.in_blocks : layer.out_blocks * parities;
    const int rings = kDsdWarps * kWeightStages * kBlockWeights * static_cast<int>(size_of(dtype));
    const int fitting =
        std::min(kMaxChunk, (kDsdSharedBytes - rings - kDsdPlacesBytes) / (planes * m.frame.plane * 16));
    TermLists& lists = m.lists;
    lists.chunks = ceil_div(m.source_blocks, fitting);
    m.chunk_blocks = ceil_div(m.source_blocks, lists.chunks);
    lists.chunks = ceil_div(m.source_blocks, m.chunk_blocks);
    lists.keys = forward ? layer.out_blocks * parities : layer.in_blocks;
    lists.capacity = m.source_blocks * layer.positions.per_parity();
    m.repeat = forward && layer.repeats;
    m.adds = forward && g.adds;
    m.masks = !forward && g.masks;
    m.relu = forward && g.relu;
    const int full = 2 * kMultiprocessors / m.tiles.count;
    m.key_groups = std::max(1, std::min(full, ceil_div(lists.keys, kDsdWarps)));

    WorkspaceLayout layout(workspace);
    const size_t terms = static_cast<size_t>(lists.keys) * static_cast<size_t>(lists.capacity);
    lists.carve(layout);
    lists.weights = layout.carve<char>(terms * kBlockWeights * size_of(dtype));
    if (!forward) {
      summed = layout.carve<char>(static_cast<size_t>(layer.summed_elements()) * size_of(dtype));
    }
    workspace_bytes = layout.bytes();

    build = {.alive = layer.alive,
             .positions = layer.positions,
             .transposed = !forward,
             .chunk_blocks = m.chunk_blocks,
             .plane = planes * m.frame.plane,
             .pitch = static_cast<int>(m.frame.pitch.d),
             .lists = lists,
             .round_to_tf32 = dtype == DType::f32 && ctx.precision == Precision::tf32};
  }

  void run(Context& ctx, const Tensor& from, const Tensor& weight, const Tensor& bias, Tensor& to) {
    const KeptLists::Form form = {forward ? 1 : 2, build.chunk_blocks, build.plane, build.pitch};
    provide_lists(ctx, blocks, form, build, list_terms);
    dsd.lists = build.lists;
    build.weight = weight.bytes;
    dispatch_stored(from.dtype, [&]<class T>() { pack_terms<T>(ctx, build); });
    dsd.bias = bias ? bias.data<float>() : nullptr;
    if (forward) {
      dsd.from = layer.x_view(from.bytes);
      dsd.to = layer.y_view(to.bytes, false);
    } else {
      dsd.from = layer.y_view(layer.sum_repeats(ctx, from, summed).bytes, layer.repeats);
      dsd.to = layer.x_view(to.bytes);
    }
    dispatch_math(ctx, from.dtype, [&]<class Math>() { launch_dsd_gemm<Math>(ctx, dsd); });
  }
};

struct SddPass {
  Layer layer;
  const BlockIndex& blocks;
  BuildItems build{};
  SddGemm sdd{};
  void* summed;
  float* bias_partial;
  size_t workspace_bytes;

  SddPass(const Context& ctx, const Conv2dGeometry& g, const BlockIndex& index, DType dtype, void* workspace)
      : layer(g, index), blocks(index) {
    constexpr int kMaxSlots = 147;
    const int parities = layer.positions.parities, outs = kPanel / parities;
    SddGemm& o = sdd;
    o.tiles = layer.tiles(false, kLogSddPixels, kMaxSlots);
    o.x_frame = Frame(o.tiles, layer.halo, dtype);
    o.dy_frame = Frame(o.tiles, 0, dtype);
    WorkItems& lists = o.lists;
    lists.panels_out = ceil_div(layer.out_blocks, outs);
    lists.panels_in = ceil_div(layer.in_blocks, kPanel);
    lists.capacity = outs * kPanel * layer.positions.count;
    const int workers = kMultiprocessors * (dtype == DType::bf16 ? 2 : 1);
    const int most = lists.items_capacity();
    o.splits = {.workers = std::min(workers, most * o.tiles.count),
                .most = ctx.gemm.splits == 0 ? o.tiles.count : std::min(ctx.gemm.splits, o.tiles.count)};

    WorkspaceLayout layout(workspace);
    lists.pairs = layer.out_blocks * layer.in_blocks;
    lists.positions = layer.positions.count;
    lists.carve(layout);
    // At most as many parts as workers, unless there are more work items.
    o.partial = layout.carve<float>(static_cast<size_t>(std::max(most, o.splits.workers)) * kItemTerms * kBlockWeights);
    summed = layout.carve<char>(static_cast<size_t>(layer.summed_elements()) * size_of(dtype));
    bias_partial = layout.carve<float>(static_cast<size_t>(column_sum_ranges(g.y_shape().rows()) * g.c_out));
    workspace_bytes = layout.bytes();

    build = {.alive = layer.alive,
             .positions = layer.positions,
             .pitch = static_cast<int>(o.x_frame.pitch.d),
             .lists = lists};
  }

  void run(Context& ctx, const Tensor& x, const Tensor& dy, Tensor& dweight, Tensor& dbias) {
    provide_lists(ctx, blocks, {3, build.pitch, 0, 0}, build, list_items);
    sdd.lists = build.lists;
    sdd.x = layer.x_view(x.bytes);
    sdd.dy = layer.y_view(layer.sum_repeats(ctx, dy, summed).bytes, layer.repeats);
    sdd.bias = sums_of_columns(dy.bytes, dy.shape.rows(), layer.g.c_out, dbias ? bias_partial : nullptr);
    dispatch_math(ctx, x.dtype, [&]<class Math>() { launch_sdd_gemm<Math>(ctx, sdd); });
    finish_items(ctx, {.positions = layer.positions,
                       .lists = sdd.lists,
                       .splits = sdd.splits,
                       .out_blocks = layer.out_blocks,
                       .in_blocks = layer.in_blocks,
                       .taps = layer.alive.taps,
                       .partial = sdd.partial,
                       .dweight = dweight.data<float>(),
                       .bias = sdd.bias,
                       .dbias = dbias ? dbias.data<float>() : nullptr});
  }
};

}  // namespace

Conv2dPlan block_conv2d_plan(const Context& ctx, const Conv2dGeometry& g, const BlockIndex& index, DType dtype,
                             Pass pass) {
  const double macs = Layer(g, index).macs(index);
  if (pass == Pass::backward_weight) {
    return {.workspace_bytes = SddPass(ctx, g, index, dtype, nullptr).workspace_bytes, .executed_macs = macs};
  }
  return {.workspace_bytes = DsdPass(ctx, g, index, dtype, pass, nullptr).workspace_bytes, .executed_macs = macs};
}

bool block_conv2d_takes_sums(const Context&, const Conv2dGeometry&, DType, Pass) { return false; }

void block_conv2d_forward(Context& ctx, const Conv2dGeometry& g, const BlockIndex& index, const LayerInput& in,
                          const Tensor& weight, const Tensor& bias, Tensor& workspace, const LayerOutput& out) {
  const Tensor& x = read_directly(in);
  Tensor y = written_alone(out);
  DsdPass(ctx, g, index, x.dtype, Pass::forward, workspace.bytes).run(ctx, x, weight, bias, y);
}

void block_conv2d_backward_input(Context& ctx, const Conv2dGeometry& g, const BlockIndex& index, const Tensor& dy,
                                 const Tensor& weight, Tensor& workspace, const InputGradient& out) {
  Tensor dx = written_alone(out);
  DsdPass(ctx, g, index, dy.dtype, Pass::backward_input, workspace.bytes).run(ctx, dy, weight, {}, dx);
}

void block_conv2d_backward_weight(Context& ctx, const Conv2dGeometry& g, const BlockIndex& index, const LayerInput& in,
                                  const Tensor& dy, Tensor& workspace, Tensor& dweight, Tensor& dbias) {
  const Tensor& x = read_directly(in);
  SddPass(ctx, g, index, x.dtype, workspace.bytes).run(ctx, x, dy, dweight, dbias);
}

}  // namespace poise::POISE_GPU
