// Regions are dealt out in a few ranges. Of each, x and dy are brought in region by region, and all alive weights of the
// region's pixels added up tile by tile, into sums of that range; tasks of a range own some outputs each. In the end the
// ranges are added up, in a fixed order. The number of ranges depends on the geometry alone, so results have the same
// bits for any number of threads.
#include "kernels/sparse/weights/weight_gradient.h"

#include <algorithm>

#include "kernels/core/integer.h"
#include "kernels/core/simd.h"
#include "kernels/sparse/weights/weight_gather.h"

namespace poise::cpu {
namespace {

constexpr int64_t kRegionFloats = 176 * 1024;  // of x and dy: well inside the second-level cache
constexpr int64_t kMostRanges = 4;             // copies of the sums

struct Gradient {
  const Conv2dGeometry& g;
  const WeightTerms terms;
  const WeightList& list;
  const LaneRegions regions;
  const LaneLayout x_layout, dy_layout;
  int64_t ranges;  // of regions
  int64_t slices;  // of rows, each a task

  Gradient(const Conv2dGeometry& geometry, const WeightIndex& index)
      : g(geometry),
        terms(geometry),
        list(index.by_output),
        regions(g.n, terms.y, terms.pointwise(), Frame::of(terms, false), terms.x.planes() + terms.y.planes(),
                kRegionFloats),
        x_layout(regions, Frame::of(terms, false)),
        dy_layout(regions, Frame{}) {
    ranges = std::min(kMostRanges, regions.count());
    slices = std::min(list.rows, ceil_div(kWeightTasks, ranges));
  }

  int64_t tasks() const { return ranges * slices; }
  int64_t rounds() const { return ceil_div(regions.count(), ranges); }
  // The region that a range works on in a round; negative: it is done.
  int64_t region(int64_t range, int64_t round) const {
    const RegionRange all(regions, range, ranges);
    return all.first + round < all.last ? all.first + round : -1;
  }
  int64_t dy_floats() const { return terms.y.planes() * dy_layout.plane; }  // of a region
  int64_t x_floats() const { return terms.x.planes() * x_layout.plane; }
  double macs() const {
    const int64_t pixels = g.n * terms.y.grid_h() * terms.y.grid_w();
    return static_cast<double>(list.entries * list.outputs) * static_cast<double>(pixels);
  }
};

struct Workspace {
  WeightGather weights;
  float* quads;  // [ranges][quads][4]
  float* dy;     // [ranges][dy_floats]
  float* x;      // [ranges][x_floats]
  float* bias;   // [regions][planes of y]
  size_t bytes;

  Workspace(const Gradient& job, WorkspaceLayout layout)
      : weights(job.terms, job.g, job.list, /*by_output=*/true, /*values=*/false, layout) {
    quads = layout.carve<float>(static_cast<size_t>(job.ranges * job.list.quads * kQuad));
    dy = layout.carve<float>(static_cast<size_t>(job.ranges * job.dy_floats()));
    x = layout.carve<float>(static_cast<size_t>(job.ranges * job.x_floats()));
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

struct Accumulation {
  const Gradient& job;
  const Workspace& ws;
  const LaneImages source, gradients;
  const float* x;
  const float* dy;
  bool bias;

  float* x_of(int64_t range) const { return ws.x + range * job.x_floats(); }
  float* dy_of(int64_t range) const { return ws.dy + range * job.dy_floats(); }

  // A slice of what a region has.
  void bring(int64_t number, int64_t range, int64_t slice) const {
    const LaneRegion region(job.regions, number);
    const PlaneRange in(job.terms.x.planes(), slice, job.slices), out(job.terms.y.planes(), slice, job.slices);
    source.bring(x, region, job.x_layout, in.first, in.last, x_of(range) + in.first * job.x_layout.plane);
    float* to = dy_of(range) + out.first * job.dy_layout.plane;
    gradients.bring(dy, region, job.dy_layout, out.first, out.last, to);
    if (!bias) return;
    sum_planes(static_cast<const float*>(to), out.last - out.first, job.dy_layout.plane,
               job.regions.rows * job.regions.columns, ws.bias + number * job.terms.y.planes() + out.first);
  }

  void accumulate(int64_t number, int64_t range, int64_t slice) const {
    const WeightList& list = job.list;
    const LaneRegion region(job.regions, number);
    const int64_t row = slice * list.rows / job.slices, end = (slice + 1) * list.rows / job.slices;
    for (int64_t chunk = 0; chunk < list.chunks; ++chunk) {
      const int64_t segment = chunk * list.rows + row;
      const int64_t quad = range * list.quads + list.quad_of_row[static_cast<size_t>(segment)];
      for (int64_t tile = 0; tile < job.regions.tiles(); ++tile) {
        if (!gradients.meets(region, tile)) continue;
        weight_tile_kernels().accumulate(
            job.regions.tile, static_cast<int>(list.outputs),
            {.begin = list.begin.data() + segment,
             .rows = end - row,
             .codes = list.codes.data(),
             .offsets = ws.weights.offsets(),
             .x = x_of(range) + chunk * list.chunk * job.x_layout.plane + job.x_layout.at_tile(job.regions, tile),
             .x_row = job.x_layout.row,
             .dy = dy_of(range) + row * list.outputs * job.dy_layout.plane + job.dy_layout.at_tile(job.regions, tile),
             .dy_plane = job.dy_layout.plane,
             .dy_row = job.dy_layout.row,
             .sums = ws.quads + quad * kQuad});
      }
    }
  }
};

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
  ws.weights.prepare(job.x_layout);
  const Accumulation a{.job = job,
                       .ws = ws,
                       .source = LaneImages(job.terms.x, g.n, job.regions),
                       .gradients = LaneImages(job.terms.y, g.n, job.regions, /*own=*/true),
                       .x = x.data<float>(),
                       .dy = dy.data<float>(),
                       .bias = static_cast<bool>(dbias)};
  const int64_t sums = job.ranges * job.list.quads * kQuad;
  for (int64_t round = 0; round < job.rounds(); ++round) {
    parallel_for(job.tasks(), [&](int64_t task) {
      const int64_t range = task / job.slices, region = job.region(range, round);
      if (round == 0) std::fill(ws.quads + task * sums / job.tasks(), ws.quads + (task + 1) * sums / job.tasks(), 0.0f);
      if (region >= 0) a.bring(region, range, task % job.slices);
    });
    parallel_for(job.tasks(), [&](int64_t task) {
      const int64_t range = task / job.slices, region = job.region(range, round);
      if (region >= 0) a.accumulate(region, range, task % job.slices);
    });
  }
  ws.weights.scatter(index.mask, ws.quads, job.ranges, dweight.data<float>());
  if (dbias) sum_bias(job, ws, dbias.data<float>());
}

}  // namespace poise::cpu
