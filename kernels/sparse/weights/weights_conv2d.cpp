// Forward and input gradient. Either is a product of planes with a list: planes of a region are brought in, all of a
// tile's outputs are summed up chunk by chunk (weight_index.h), and what is done returns to its tensor.
//
// Work is cut into tasks by regions and, where these are few, by outputs as well: a number that depends on the geometry
// alone, and each writes its own output, so results have the same bits for any number of threads.
#include "kernels/sparse/weights/weights_conv2d.h"

#include <algorithm>

#include "kernels/core/integer.h"
#include "kernels/core/parallel.h"
#include "kernels/sparse/weights/weight_gather.h"
#include "kernels/sparse/weights/weight_gradient.h"
#include "kernels/table.h"

namespace poise::cpu {
namespace {

constexpr int64_t kRegionFloats = 160 * 1024;  // with the sums of a tile well inside the second-level cache
constexpr int64_t kSliceChannels = 256;        // whose sums of a tile are worked on at once
constexpr int64_t kBlock = 16;                 // channels to a transposition

// One pass of one layer.
struct Product {
  const Conv2dGeometry& g;
  const WeightTerms terms;
  const bool forward;
  const WeightList& list;
  const WeightSide &read, &written;
  const LaneRegions regions;
  const LaneLayout layout;
  int64_t slab;    // regions at a time
  int64_t parts;   // of a region's outputs, each a task
  int64_t slices;  // of a phase's channels
  int64_t slice_channels;

  Product(const Conv2dGeometry& geometry, const WeightIndex& index, Pass pass)
      : g(geometry),
        terms(geometry),
        forward(pass == Pass::forward),
        list(forward ? index.by_output : index.by_input),
        read(forward ? terms.x : terms.y),
        written(forward ? terms.y : terms.x),
        regions(g.n, written, terms.pointwise(), Frame::of(terms, !forward), read.planes(), kRegionFloats),
        layout(regions, Frame::of(terms, !forward)) {
    slab = std::min(kWeightTasks, regions.count());
    parts = ceil_div(kWeightTasks, slab);
    const int64_t blocks = ceil_div(written.channels, kBlock);
    slices = std::max(ceil_div(written.channels, kSliceChannels), ceil_div(parts, written.phases));
    slices = std::min(slices, blocks);
    parts = std::min(parts, slices * written.phases);
    slice_channels = std::min(written.channels, ceil_div(blocks, slices) * kBlock);
  }

  double macs() const {
    const int64_t pixels = g.n * written.grid_h() * written.grid_w();
    return static_cast<double>(list.entries * list.outputs) * static_cast<double>(pixels);
  }
  int64_t planes_floats() const { return read.planes() * layout.plane; }
  int64_t sums_floats() const { return slice_channels * pixels_of(regions.tile) * kImages; }
};

struct Workspace {
  WeightGather weights;
  float* planes;  // [slab][planes_floats]
  float* sums;    // [slab][parts][sums_floats]
  size_t bytes;

  Workspace(const Product& job, WorkspaceLayout layout)
      : weights(job.terms, job.g, job.list, job.forward, /*values=*/true, layout) {
    planes = layout.carve<float>(static_cast<size_t>(job.slab * job.planes_floats()));
    sums = layout.carve<float>(static_cast<size_t>(job.slab * job.parts * job.sums_floats()));
    bytes = layout.bytes();
  }
};

struct Slice {
  int phase;
  int64_t first, last;  // channels of the phase
  Slice(const Product& job, int64_t number) : phase(static_cast<int>(number / job.slices)) {
    const int64_t blocks = ceil_div(job.written.channels, kBlock), slice = number % job.slices;
    first = slice * blocks / job.slices * kBlock;
    last = std::min(job.written.channels, (slice + 1) * blocks / job.slices * kBlock);
  }
};

// The sums of one slice of one tile.
void multiply_slice(const Product& job, const Workspace& ws, const Slice& slice, const float* planes, int64_t tile,
                    const float* bias, float* sums) {
  const WeightList& list = job.list;
  const int64_t rows_of_phase = job.written.channels / list.outputs;
  const int64_t row = slice.phase * rows_of_phase + slice.first / list.outputs;
  for (int64_t chunk = 0; chunk < list.chunks; ++chunk) {
    weight_tile_kernels().multiply(
        job.regions.tile, static_cast<int>(list.outputs),
        {.begin = list.begin.data() + chunk * list.rows + row,
         .rows = (slice.last - slice.first) / list.outputs,
         .offsets = ws.weights.offsets(),
         .values = ws.weights.values(),
         .x = planes + chunk * list.chunk * job.layout.plane + job.layout.at_tile(job.regions, tile),
         .x_row = job.layout.row,
         .first = chunk == 0,
         .start = bias ? bias + slice.first : nullptr,
         .sums = sums});
  }
}

void multiply(const Product& job, Workspace& ws, const float* from, const Tensor& weight, const float* bias,
              float* to) {
  ws.weights.gather(job.layout, weight.data<float>());
  const LaneImages source(job.read, job.g.n, job.regions), target(job.written, job.g.n, job.regions);
  const int64_t slices = job.slices * job.written.phases;
  const int64_t blocks = ceil_div(job.read.planes(), kBlock), bring_parts = std::min(job.parts, blocks);
  for (int64_t first = 0; first < job.regions.count(); first += job.slab) {
    const int64_t count = std::min(job.slab, job.regions.count() - first);
    parallel_for(count * bring_parts, [&](int64_t task) {
      const int64_t at = task / bring_parts, part = task % bring_parts;
      const int64_t plane = part * blocks / bring_parts * kBlock;
      const int64_t end = std::min(job.read.planes(), (part + 1) * blocks / bring_parts * kBlock);
      source.bring(from, LaneRegion(job.regions, first + at), job.layout, plane, end,
                   ws.planes + at * job.planes_floats() + plane * job.layout.plane);
    });
    parallel_for(count * job.parts, [&](int64_t task) {
      const int64_t at = task / job.parts, part = task % job.parts;
      const LaneRegion region(job.regions, first + at);
      float* sums = ws.sums + task * job.sums_floats();
      for (int64_t tile = 0; tile < job.regions.tiles(); ++tile) {
        if (!target.meets(region, tile)) continue;
        for (int64_t s = part * slices / job.parts; s < (part + 1) * slices / job.parts; ++s) {
          const Slice slice(job, s);
          multiply_slice(job, ws, slice, ws.planes + at * job.planes_floats(), tile, bias, sums);
          target.return_tile(sums, region, tile, slice.phase, slice.first, slice.last, to);
        }
      }
    });
  }
}

}  // namespace

Conv2dPlan weights_conv2d_plan(const Context& ctx, const Conv2dGeometry& g, const WeightIndex& index, DType dtype,
                               Pass pass) {
  if (dtype != DType::f32) return conv2d_plan(ctx, g, dtype, pass);
  if (pass == Pass::backward_weight) return weight_gradient_plan(g, index);
  const Product job(g, index, pass);
  return {.workspace_bytes = Workspace(job, WorkspaceLayout(nullptr)).bytes, .executed_macs = job.macs()};
}

void weights_conv2d_forward(Context& ctx, const Conv2dGeometry& g, const WeightIndex& index, const Tensor& x,
                            const Tensor& weight, const Tensor& bias, Tensor& workspace, Tensor& y) {
  if (x.dtype != DType::f32) return conv2d_forward(ctx, g, x, weight, bias, workspace, y);
  const Product job(g, index, Pass::forward);
  Workspace ws(job, WorkspaceLayout(workspace.bytes));
  multiply(job, ws, x.data<float>(), weight, bias ? bias.data<float>() : nullptr, y.data<float>());
}

void weights_conv2d_backward_input(Context& ctx, const Conv2dGeometry& g, const WeightIndex& index, const Tensor& dy,
                                   const Tensor& weight, Tensor& workspace, Tensor& dx) {
  if (dy.dtype != DType::f32) return conv2d_backward_input(ctx, g, dy, weight, workspace, dx);
  const Product job(g, index, Pass::backward_input);
  Workspace ws(job, WorkspaceLayout(workspace.bytes));
  multiply(job, ws, dy.data<float>(), weight, nullptr, dx.data<float>());
}

void weights_conv2d_backward_weight(Context& ctx, const Conv2dGeometry& g, const WeightIndex& index, const Tensor& x,
                                    const Tensor& dy, Tensor& workspace, Tensor& dweight, Tensor& dbias) {
  if (x.dtype == DType::f32) return weight_gradient(g, index, x, dy, workspace, dweight, dbias);
  conv2d_backward_weight(ctx, g, x, dy, workspace, dweight, dbias);
  const uint8_t* alive = index.mask.data<uint8_t>();
  const int64_t run = dweight.elements() / index.mask.elements();
  double* dw = dweight.data<double>();
  for (int64_t i = 0; i < dweight.elements(); ++i) dw[i] = alive[i / run] ? dw[i] : 0;
}

}  // namespace poise::cpu
