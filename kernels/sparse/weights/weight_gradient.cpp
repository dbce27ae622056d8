// dy is brought in a slab of regions at a time. Each task then owns some of the weights, those of a chunk of inputs and
// if these are few of a range of rows, brings the x it needs itself, and adds to its quads (weight_tiles.h) tile by tile.
// So nothing is summed up across tasks, and results have the same bits for any number of threads.
#include "kernels/sparse/weights/weight_gradient.h"

#include <algorithm>

#include "kernels/core/integer.h"
#include "kernels/core/simd.h"
#include "kernels/sparse/weights/weight_gather.h"

namespace poise::cpu {
namespace {

constexpr int64_t kRegionFloats = 96 * 1024;  // of dy: stays in the second-level cache while chunks go by
constexpr int64_t kSlabFloats = 1024 * 1024;

struct Gradient {
  const Conv2dGeometry& g;
  const WeightTerms terms;
  const WeightList& list;
  const LaneRegions regions;
  const LaneLayout x_layout, dy_layout;
  int64_t slab;        // regions at a time
  int64_t row_slices;  // of a chunk

  Gradient(const Conv2dGeometry& geometry, const WeightIndex& index)
      : g(geometry),
        terms(geometry),
        list(index.by_output),
        regions(g.n, terms.y, terms.pointwise(), Frame{}, terms.y.planes(), kRegionFloats),
        x_layout(regions, Frame::of(terms, false)),
        dy_layout(regions, Frame{}) {
    slab = std::clamp<int64_t>(kSlabFloats / dy_floats(), 1, regions.count());
    row_slices = std::min(list.rows, ceil_div(kWeightTasks, list.chunks));
  }

  int64_t tasks() const { return list.chunks * row_slices; }
  int64_t dy_floats() const { return terms.y.planes() * dy_layout.plane; }  // of a region
  int64_t x_floats() const { return list.chunk * x_layout.plane; }          // of a region and a chunk
  double macs() const {
    const int64_t pixels = g.n * terms.y.grid_h() * terms.y.grid_w();
    return static_cast<double>(list.entries * list.outputs) * static_cast<double>(pixels);
  }
};

struct Workspace {
  WeightGather weights;
  float* quads;  // [quads][16]
  float* dy;     // [slab][dy_floats]
  float* x;      // [tasks][x_floats]
  float* bias;   // [regions][planes of y]
  size_t bytes;

  Workspace(const Gradient& job, WorkspaceLayout layout)
      : weights(job.terms, job.g, job.list, /*by_output=*/true, /*values=*/false, layout) {
    quads = layout.carve<float>(static_cast<size_t>(job.list.quads * kQuad));
    dy = layout.carve<float>(static_cast<size_t>(job.slab * job.dy_floats()));
    x = layout.carve<float>(static_cast<size_t>(job.tasks() * job.x_floats()));
    bias = layout.carve<float>(static_cast<size_t>(job.regions.count() * job.terms.y.planes()));
    bytes = layout.bytes();
  }
};

// sums[p] = all of plane p.
const simd sum_planes([](const float* planes, int64_t count, int64_t plane, int64_t pixels, float* sums) {
  for (int64_t p = 0; p < count; ++p) {
    float lanes[kImages] = {};
    for (int64_t k = 0; k < pixels; ++k) {
      for (int n = 0; n < kImages; ++n) lanes[n] += planes[p * plane + k * kImages + n];
    }
    for (int half = kImages / 2; half > 0; half /= 2) {
      for (int n = 0; n < half; ++n) lanes[n] += lanes[n + half];
    }
    sums[p] = lanes[0];
  }
});

// What one task owns, for all regions of a slab.
void accumulate(const Gradient& job, const Workspace& ws, const LaneImages& source, const float* x, int64_t task,
                int64_t first, int64_t count) {
  const WeightList& list = job.list;
  const int64_t chunk = task / job.row_slices, slice = task % job.row_slices;
  const int64_t row = slice * list.rows / job.row_slices, end = (slice + 1) * list.rows / job.row_slices;
  const int64_t plane = chunk * list.chunk, last_plane = std::min(plane + list.chunk, job.terms.x.planes());
  const int64_t segment = chunk * list.rows + row;
  if (list.begin[static_cast<size_t>(segment)] == list.begin[static_cast<size_t>(segment + end - row)]) return;
  float* planes = ws.x + task * job.x_floats();
  const LaneImages target(job.terms.y, job.g.n, job.regions);
  for (int64_t at = 0; at < count; ++at) {
    const LaneRegion region(job.regions, first + at);
    source.bring(x, region, job.x_layout, plane, last_plane, planes);
    for (int64_t tile = 0; tile < job.regions.tiles(); ++tile) {
      if (!target.meets(region, tile)) continue;
      weight_tile_kernels().accumulate(job.regions.tile, static_cast<int>(list.outputs),
                                       {.begin = list.begin.data() + segment,
                                        .rows = end - row,
                                        .offsets = ws.weights.offsets(),
                                        .x = planes + job.x_layout.at_tile(job.regions, tile),
                                        .x_row = job.x_layout.row,
                                        .dy = ws.dy + at * job.dy_floats() + row * list.outputs * job.dy_layout.plane +
                                              job.dy_layout.at_tile(job.regions, tile),
                                        .dy_plane = job.dy_layout.plane,
                                        .dy_row = job.dy_layout.row,
                                        .sums = ws.quads + list.quad_of_row[static_cast<size_t>(segment)] * kQuad});
    }
  }
}

void sum_bias(const Gradient& job, const Workspace& ws, float* dbias) {
  const WeightSide& y = job.terms.y;
  for (int64_t c = 0; c < y.channels; ++c) {
    float sum = 0;
    for (int64_t phase = 0; phase < y.phases; ++phase) {
      for (int64_t r = 0; r < job.regions.count(); ++r) sum += ws.bias[r * y.planes() + phase * y.channels + c];
    }
    dbias[c] = sum;
  }
}

}  // namespace

Conv2dPlan weight_gradient_plan(const Conv2dGeometry& g, const WeightIndex& index) {
  const Gradient job(g, index);
  return {.workspace_bytes = Workspace(job, WorkspaceLayout(nullptr)).bytes, .executed_macs = job.macs()};
}

void weight_gradient(const Conv2dGeometry& g, const WeightIndex& index, const Tensor& x, const Tensor& dy,
                     Tensor& workspace, Tensor& dweight, Tensor& dbias) {
  const Gradient job(g, index);
  Workspace ws(job, WorkspaceLayout(workspace.bytes));
  ws.weights.gather(job.x_layout, nullptr);
  parallel_chunks(job.list.quads * kQuad, kElementGrain,
                  [&](int64_t begin, int64_t end) { std::fill(ws.quads + begin, ws.quads + end, 0.0f); });
  const LaneImages source(job.terms.x, g.n, job.regions), gradients(job.terms.y, g.n, job.regions);
  const int64_t planes = job.terms.y.planes();
  for (int64_t first = 0; first < job.regions.count(); first += job.slab) {
    const int64_t count = std::min(job.slab, job.regions.count() - first);
    // Of a few regions, parts.
    const int64_t parts = std::min(planes, ceil_div(kWeightTasks, count));
    parallel_for(count * parts, [&](int64_t task) {
      const int64_t at = task / parts, plane = task % parts * planes / parts, end = (task % parts + 1) * planes / parts;
      float* to = ws.dy + at * job.dy_floats() + plane * job.dy_layout.plane;
      gradients.bring(dy.data<float>(), LaneRegion(job.regions, first + at), job.dy_layout, plane, end, to);
      if (!dbias) return;
      sum_planes(static_cast<const float*>(to), end - plane, job.dy_layout.plane,
                 job.regions.rows * job.regions.columns, ws.bias + (first + at) * planes + plane);
    });
    parallel_for(job.tasks(), [&](int64_t task) { accumulate(job, ws, source, x.data<float>(), task, first, count); });
  }
  ws.weights.scatter(index.mask, ws.quads, dweight.data<float>());
  if (dbias) sum_bias(job, ws, dbias.data<float>());
}

}  // namespace poise::cpu
