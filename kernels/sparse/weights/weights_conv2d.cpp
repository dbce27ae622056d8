// Forward pass and input gradient: both multiply planes by a list. The planes of a region are brought in a few chunks
// (weight_index.h) at a time, while the sums of all outputs of all tiles are held; finished sums are returned to their
// tensor. So a task's working set fits into its core's L2 cache, where the next region uses the same memory again.
// Where sums take too much, as those of four phases do, all planes are brought in and each tile is finished by itself.
//
// bf16 is computed as f32, from copies.
//
// Work is cut into tasks by ranges of regions and, where there are more threads than ranges, by outputs as well. Each
// task writes its own part of the output, and sums are added up in the order of the list, so results have the same bits
// for any number of threads.
#include "kernels/sparse/weights/weights_conv2d.h"

#include <algorithm>

#include "kernels/core/channel_moments.h"
#include "kernels/core/integer.h"
#include "kernels/core/parallel.h"
#include "kernels/core/task_slots.h"
#include "kernels/core/widened.h"
#include "kernels/sparse/weights/lane_share.h"
#include "kernels/sparse/weights/weight_gather.h"
#include "kernels/sparse/weights/weight_gradient.h"
#include "kernels/table.h"

namespace poise {

double weights_conv2d_full_share(const Conv2dGeometry& g) {
  const WeightTerms terms(g);
  const cpu::LaneRegions regions(g.n, terms.y, terms.pointwise(), {}, 1, 0, 0);
  return regions.full_share(g.n, terms.y);
}

namespace cpu {
namespace {

// Working-set limits per task, well inside the L2 cache: the planes of a region alone, or planes plus the sums of all
// outputs. The latter counts the largest chunks, which only few alive weights need; usually there are fewer planes.
constexpr int64_t kRegionFloats = 160 * 1024, kHeldRegionFloats = 192 * 1024;
constexpr int64_t kHeldFloats = 128 * 1024;  // the most floats of a tile's sums that are held
constexpr int64_t kSliceChannels = 256;      // channels whose sums of a tile are computed at once
constexpr int64_t kWindowChannels = 128;     // the same if there are four phases, with neighbours
constexpr int64_t kBlock = 16;               // channels per transposition

// One pass of one layer.
struct Product {
  const Conv2dGeometry& g;
  const WeightTerms terms;
  const bool forward;
  const WeightList& list;
  const WeightSide &read, &written;
  const bool holds;       // whether the sums of a region are held while planes are brought in a few chunks at a time
  const int64_t brought;  // planes brought in at a time
  const LaneRegions regions;
  const LaneLayout layout;
  const int phases;    // phases that are computed together
  int64_t ranges;      // of regions
  int64_t most_parts;  // parts that a region's outputs may be cut into
  int64_t parts;       // parts in use: tasks that bring in the same planes, which is better than an idle thread
  int64_t slices;      // of a phase's channels

  Product(const Conv2dGeometry& geometry, const WeightIndex& index, Pass pass)
      : g(geometry),
        terms(geometry),
        forward(pass == Pass::forward),
        list(forward ? index.by_output : index.by_input),
        read(forward ? terms.x : terms.y),
        written(forward ? terms.y : terms.x),
        holds(!written.windows && written.planes() * kMostTilePixels * kImages <= kHeldFloats),
        brought(holds ? brought_planes(read, list.chunk) : read.planes()),
        regions(g.n, written, terms.pointwise(), Frame::of(terms, !forward), most_brought(),
                holds ? written.planes() : 0, region_floats()),
        layout(regions, Frame::of(terms, !forward)),
        phases(written.windows ? written.phases : 1) {
    ranges = std::min(kWeightTasks, regions.count());
    most_parts = ceil_div(kWeightTasks, ranges);
    parts = std::min(most_parts, ceil_div(thread_count(), ranges));
    slices = std::max(ceil_div(written.channels, most_channels()), ceil_div(parts, written.phases / phases));
    slices = std::min(slices, ceil_div(written.channels, kBlock));
    parts = std::min(parts, all_slices());
  }
  int64_t most_channels() const { return written.windows ? kWindowChannels : kSliceChannels; }  // of a slice

  // Planes brought in at a time, at any density.
  int64_t most_brought() const { return holds ? brought_planes(read, list.most_chunk) : read.planes(); }
  // Limit of a region's planes. In a pointwise layer small regions cost nothing, so every task has its own pixels and
  // all outputs, as other ops divide images. By outputs, tasks would write lines that other cores wrote last.
  int64_t region_floats() const {
    const int64_t most = holds ? kHeldRegionFloats : kRegionFloats;
    if (!terms.pointwise()) return most;
    constexpr int64_t kColumns = 8;  // of a tile
    const int64_t columns = ceil_div(g.n * terms.y.grid_h() * terms.y.grid_w(), kImages);
    const int64_t of_task = ceil_div(ceil_div(columns, kWeightTasks), kColumns) * kColumns;
    return std::min(most, of_task * kImages * (most_brought() + (holds ? written.planes() : 0)));
  }
  double macs() const {
    const int64_t pixels = g.n * written.grid_h() * written.grid_w();
    return static_cast<double>(list.entries * list.outputs) * static_cast<double>(pixels);
  }
  int64_t most_planes_floats() const { return most_brought() * layout.plane; }
  int64_t summed_parts() const { return regions.count() * regions.tiles(); }  // one per tile
  int64_t all_slices() const { return slices * written.phases / phases; }
  int64_t sums_floats() const {
    if (holds) return regions.tiles() * written.planes() * plane_floats(regions.tile);
    const WeightTile largest = phases > 1 ? grown(regions.tile, 1, 1) : regions.tile;
    return phases * std::min(most_channels(), written.channels) * plane_floats(largest);
  }
};

struct Workspace {
  WeightGather weights;
  float* planes;  // [tasks][most_planes_floats]
  float* sums;    // [ranges, if they are held, else tasks][sums_floats]
  // What becomes moments of the output, or sums of the gradient, where requested: per tile, then for all tiles.
  float* tile_sums;      // [tasks][3][channels of a slice]
  double* part_moments;  // [summed_parts][2][channels]
  int64_t* part_rows;    // [summed_parts]
  size_t bytes;

  Workspace(const Product& job, WorkspaceLayout layout)
      : weights(job.terms, job.g, job.list, job.forward, /*values=*/true, layout) {
    const auto tasks = static_cast<size_t>(job.ranges * job.most_parts);
    planes = layout.carve<float>(tasks * static_cast<size_t>(job.most_planes_floats()));
    sums = layout.carve<float>(
        static_cast<size_t>((job.holds ? job.ranges : job.ranges * job.most_parts) * job.sums_floats()));
    const int64_t parts = job.summed_parts();
    tile_sums = layout.carve<float>(tasks * static_cast<size_t>(3 * job.most_channels()));
    part_moments = layout.carve<double>(static_cast<size_t>(2 * parts * job.written.channels));
    part_rows = layout.carve<int64_t>(static_cast<size_t>(parts));
    bytes = layout.bytes();
  }
};

struct Slice {
  int phase;            // the first phase
  int64_t first, last;  // channels of the phase
  Slice(const Product& job, int64_t number) : phase(static_cast<int>(number / job.slices) * job.phases) {
    const int64_t blocks = ceil_div(job.written.channels, kBlock), slice = number % job.slices;
    first = slice * blocks / job.slices * kBlock;
    last = std::min(job.written.channels, (slice + 1) * blocks / job.slices * kBlock);
  }
};

struct Multiplication {
  const Product& job;
  const Workspace& ws;
  const LaneImages source, target;
  const float* from;
  const float* bias;
  Finish finish;
  const LayerOutput& to;
  const InputGradient& gradient;  // if it is one, else empty

  // Computes the sums of one slice of one tile, phase by phase, from planes first..last-1. Walks the list chunk by
  // chunk, because the L1 cache holds a chunk's planes while all phases are computed.
  void multiply_slice(const Slice& slice, const float* planes, int64_t first, int64_t last, int64_t tile,
                      float* sums) const {
    const WeightList& list = job.list;
    const int64_t rows_of_phase = job.written.channels / list.outputs;
    for (int64_t plane = first; plane < last; plane += list.chunk) {
      float* of_phase = sums;
      for (int phase = slice.phase; phase < slice.phase + job.phases; ++phase) {
        const WeightTile phase_tile = target.tile_of(phase);
        const bool windows = job.phases > 1;  // grown tiles begin this far up and left
        const int64_t up = windows ? phase / 2 : 0, left = windows ? phase % 2 : 0;
        const int64_t row = phase * rows_of_phase + slice.first / list.outputs;
        weight_tile_kernels().multiply(
            phase_tile, static_cast<int>(list.outputs),
            {.begin = list.begin.data() + plane / list.chunk * list.rows + row,
             .rows = (slice.last - slice.first) / list.outputs,
             .offsets = ws.weights.offsets(),
             .values = ws.weights.values(),
             .x = planes + (plane - first) * job.layout.plane + job.layout.at_tile(job.regions, tile) -
                  up * job.layout.row - left * kImages,
             .x_row = job.layout.row,
             .first = plane == 0,
             .start = bias && phase == slice.phase ? bias + slice.first : nullptr,
             .sums = of_phase});
        of_phase += (slice.last - slice.first) * plane_floats(phase_tile);
      }
    }
  }
  // Returns a finished tile, and takes its moments or sums.
  void return_tile(const float* sums, int64_t number, int64_t tile, const Slice& slice, int64_t slot) const {
    const int64_t part = number * job.regions.tiles() + tile, channels = job.written.channels;
    const int64_t most = job.most_channels(), count = slice.last - slice.first;
    float* of_tile = ws.tile_sums + slot * 3 * most;
    double* of_part = ws.part_moments + part * 2 * channels + slice.first;
    const auto give_back = [&](const ReturnJob& how) {
      target.return_tile(sums, LaneRegion(job.regions, number), tile, slice.phase, slice.first, slice.last, how,
                         to.y.data<float>());
    };
    if (to.moments) {
      MomentSums moments{.centre = of_tile, .deviation = of_tile + most, .square = of_tile + 2 * most};
      give_back({.finish = finish, .moments = &moments});
      part_moments(moments.rows, count, moments.centre, moments.deviation, moments.square, of_part, of_part + channels);
      if (slice.first == 0) ws.part_rows[part] = moments.rows;
    } else if (gradient.sums) {
      const GradientSums of_gradient{.gradient = of_tile, .product = of_tile + most};
      std::fill_n(of_tile, 2 * most, 0.0f);
      give_back({.finish = finish,
                 .gradients = &of_gradient,
                 .x = gradient.from.x.data<float>() + slice.first,
                 .norm = channel_norm(gradient.from.normalisation, slice.first)});
      std::copy_n(of_gradient.gradient, count, of_part);
      std::copy_n(of_gradient.product, count, of_part + channels);
      if (slice.first == 0) ws.part_rows[part] = 1;
    } else {
      give_back({.finish = finish});
    }
  }
  // Computes slices first_slice..last_slice-1 of one region of a range.
  void multiply(int64_t number, int64_t range, int64_t first_slice, int64_t last_slice, int64_t slot) const {
    const LaneRegion region(job.regions, number);
    const int64_t tile_sums = job.regions.tiles() * plane_floats(job.regions.tile);  // of a channel
    float* planes = ws.planes + slot * job.most_planes_floats();
    float* first_sums = ws.sums + slot * job.sums_floats();
    if (job.holds && job.parts > 1) {  // the sums of a range's parts are next to each other
      const Slice slice(job, first_slice);
      first_sums = ws.sums + range * job.sums_floats() + (slice.phase * job.written.channels + slice.first) * tile_sums;
    }
    const int64_t all = job.read.planes();
    for (int64_t first = 0, last; first < all; first = last) {
      last = std::min(all, first + job.brought);
      source.bring(from, region, job.layout, first, last, first > 0, planes);
      float* sums = first_sums;
      for (int64_t tile = 0; tile < job.regions.tiles(); ++tile) {
        if (!target.meets(region, tile)) continue;
        for (int64_t s = first_slice; s < last_slice; ++s) {
          const Slice slice(job, s);
          multiply_slice(slice, planes, first, last, tile, sums);
          if (last == all) return_tile(sums, number, tile, slice, slot);
          if (job.holds) sums += (slice.last - slice.first) * plane_floats(job.regions.tile);
        }
      }
    }
  }
};

void multiply(const Product& job, Workspace& ws, const LayerInput& from, const Tensor& weight, const float* bias,
              Finish finish, const LayerOutput& to, const InputGradient& gradient) {
  const Multiplication m{.job = job,
                         .ws = ws,
                         .source = LaneImages(job.read, job.g.n, job.regions, /*own=*/false, from.normalisation),
                         .target = LaneImages(job.written, job.g.n, job.regions, /*own=*/true),
                         .from = from.x.data<float>(),
                         .bias = bias,
                         .finish = finish,
                         .to = to,
                         .gradient = gradient};
  ws.weights.prepare(job.layout);
  std::fill_n(ws.part_rows, job.summed_parts(), 0);  // tiles outside the image have none
  parallel_for(kWeightTasks, [&](int64_t task) { ws.weights.gather(task, kWeightTasks, weight.data<float>()); });
  const int64_t tasks = job.ranges * job.parts;
  TaskSlots slots(tasks);
  parallel_for(tasks, [&](int64_t task) {
    const int64_t slot = slots.take(), part = task % job.parts;
    const RegionRange regions(job.regions, task / job.parts, job.ranges);
    for (int64_t region = regions.first; region < regions.last; ++region) {
      m.multiply(region, task / job.parts, part * job.all_slices() / job.parts,
                 (part + 1) * job.all_slices() / job.parts, slot);
    }
    slots.give_back(slot);
  });
  const MomentParts parts{.moments = ws.part_moments,
                          .count = job.summed_parts(),
                          .channels = job.written.channels,
                          .rows = to.y.elements() / job.written.channels,
                          .rows_each = 0,
                          .rows_of = ws.part_rows};
  if (to.moments) parts.combine(to.moments);
  if (gradient.sums) parts.add(gradient.sums);
}

}  // namespace

Conv2dPlan weights_conv2d_plan(const Context& ctx, const Conv2dGeometry& g, const WeightIndex& index, DType dtype,
                               Pass pass) {
  if (dtype == DType::f64) return conv2d_plan(ctx, g, dtype, pass);
  if (dtype == DType::bf16) {
    Conv2dPlan plan = weights_conv2d_plan(ctx, g, index, DType::f32, pass);
    plan.workspace_bytes += widened_bytes({g.x_shape(), g.weight_shape(), g.y_shape()});
    return plan;
  }
  if (pass == Pass::backward_weight) return weight_gradient_plan(g, index);
  const Product job(g, index, pass);
  return {.workspace_bytes = Workspace(job, WorkspaceLayout(nullptr)).bytes, .executed_macs = job.macs()};
}

void weights_conv2d_forward(Context& ctx, const Conv2dGeometry& g, const WeightIndex& index, const LayerInput& in,
                            const Tensor& weight, const Tensor& bias, Tensor& workspace, const LayerOutput& out) {
  const DType dtype = in.x.dtype;
  Tensor y = dtype == DType::f32 ? out.y : written_alone(out);
  if (dtype == DType::f64) return conv2d_forward(ctx, g, read_directly(in), weight, bias, {}, workspace, y);
  if (dtype == DType::bf16) {
    Widened wide(ctx, workspace);
    const Tensor wide_x = wide.in(read_directly(in)), wide_weight = wide.in(weight);
    Tensor wide_y = wide.out(y, /*as_it_is=*/g.adds), rest = wide.rest();
    weights_conv2d_forward(ctx, g, index, wide_x, wide_weight, bias, rest, wide_y);
    return wide.finish();
  }
  const Product job(g, index, Pass::forward);
  Workspace ws(job, WorkspaceLayout(workspace.bytes));
  const Finish finish = g.adds ? Finish::add : g.relu ? Finish::relu : Finish::store;
  multiply(job, ws, in, weight, bias ? bias.data<float>() : nullptr, finish, out, Tensor{});
}

void weights_conv2d_backward_input(Context& ctx, const Conv2dGeometry& g, const WeightIndex& index, const Tensor& dy,
                                   const Tensor& weight, Tensor& workspace, const InputGradient& out) {
  Tensor dx = dy.dtype == DType::f32 ? out.dx : written_alone(out);
  if (dy.dtype == DType::f64) return conv2d_backward_input(ctx, g, dy, weight, {}, workspace, dx);
  if (dy.dtype == DType::bf16) {
    Widened wide(ctx, workspace);
    const Tensor wide_dy = wide.in(dy), wide_weight = wide.in(weight);
    Tensor wide_dx = wide.out(dx, /*as_it_is=*/g.masks), rest = wide.rest();
    weights_conv2d_backward_input(ctx, g, index, wide_dy, wide_weight, rest, wide_dx);
    return wide.finish();
  }
  const Product job(g, index, Pass::backward_input);
  Workspace ws(job, WorkspaceLayout(workspace.bytes));
  multiply(job, ws, dy, weight, nullptr, g.masks ? Finish::mask : Finish::store, dx, out);
}

void weights_conv2d_backward_weight(Context& ctx, const Conv2dGeometry& g, const WeightIndex& index,
                                    const LayerInput& in, const Tensor& dy, Tensor& workspace, Tensor& dweight,
                                    Tensor& dbias) {
  if (in.x.dtype == DType::f32) return weight_gradient(g, index, in, dy, workspace, dweight, dbias);
  const Tensor& x = read_directly(in);
  if (x.dtype == DType::bf16) {
    Widened wide(ctx, workspace);
    const Tensor wide_x = wide.in(x), wide_dy = wide.in(dy);
    Tensor rest = wide.rest();
    return weight_gradient(g, index, wide_x, wide_dy, rest, dweight, dbias);
  }
  conv2d_backward_weight(ctx, g, x, dy, workspace, dweight, dbias);
  const uint8_t* alive = index.mask.data<uint8_t>();
  const int64_t run = dweight.elements() / index.mask.elements();
  double* dw = dweight.data<double>();
  for (int64_t i = 0; i < dweight.elements(); ++i) dw[i] = alive[i / run] ? dw[i] : 0;
}

}  // namespace cpu
}  // namespace poise
