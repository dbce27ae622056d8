// One of x and dy is kept, a tile of a plane at a time in registers, and the other streams past it: x, by the list of an
// output's alive weights, or dy where its windows have neighbours that other tiles keep.
//
// Regions are dealt out in a few ranges. Of each, x and dy are brought in region by region, and all alive weights of the
// region's pixels added up tile by tile, into sums of that range; tasks of a range own some kept planes each. In the end
// the ranges are added up, in a fixed order. The number of ranges depends on the geometry alone, so results have the same
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
  const bool keeps_x;
  const WeightList& list;
  const WeightSide &kept, &streamed;
  const LaneRegions regions;
  const LaneLayout kept_layout, streamed_layout;
  int64_t ranges;  // of regions
  int64_t slices;  // of rows, each a task

  Gradient(const Conv2dGeometry& geometry, const WeightIndex& index)
      : g(geometry),
        terms(geometry),
        keeps_x(terms.y.windows),
        list(keeps_x ? index.by_input : index.by_output),
        kept(keeps_x ? terms.x : terms.y),
        streamed(keeps_x ? terms.y : terms.x),
        regions(g.n, kept, terms.pointwise(), Frame::of(terms, keeps_x), kept.planes() + streamed.planes(),
                kRegionFloats),
        kept_layout(regions, Frame{}),
        streamed_layout(regions, Frame::of(terms, keeps_x)) {
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
  int64_t kept_floats() const { return kept.planes() * kept_layout.plane; }  // of a region
  int64_t streamed_floats() const { return streamed.planes() * streamed_layout.plane; }
  // Planes of dy whose sum is that of all: of windows those of one phase, in which every pixel occurs once.
  int64_t bias_planes() const { return terms.y.windows ? terms.y.channels : terms.y.planes(); }
  double macs() const {
    const int64_t pixels = g.n * kept.grid_h() * kept.grid_w();
    return static_cast<double>(list.entries * list.outputs) * static_cast<double>(pixels);
  }
};

struct Workspace {
  WeightGather weights;
  float* quads;     // [ranges][quads][4]
  float* kept;      // [ranges][kept_floats]
  float* streamed;  // [ranges][streamed_floats]
  float* bias;      // [regions][bias_planes]
  size_t bytes;

  Workspace(const Gradient& job, WorkspaceLayout layout)
      : weights(job.terms, job.g, job.list, /*by_output=*/!job.keeps_x, /*values=*/false, layout) {
    quads = layout.carve<float>(static_cast<size_t>(job.ranges * job.list.quads * kQuad));
    kept = layout.carve<float>(static_cast<size_t>(job.ranges * job.kept_floats()));
    streamed = layout.carve<float>(static_cast<size_t>(job.ranges * job.streamed_floats()));
    bias = layout.carve<float>(static_cast<size_t>(job.regions.count() * job.bias_planes()));
    bytes = layout.bytes();
  }
};

// sums[p] = all of plane p.
const simd sum_planes([](const float* planes, int64_t count, const LaneLayout& layout, int64_t rows, int64_t columns,
                         float* sums) {
  for (int64_t p = 0; p < count; ++p) {
    float lanes[kImages] = {};
    for (int64_t r = 0; r < rows; ++r) {
      const float* row = planes + p * layout.plane + (r + layout.frame.top) * layout.row + layout.frame.left * kImages;
      for (int64_t k = 0; k < columns; ++k) {
        for (int n = 0; n < kImages; ++n) lanes[n] += row[k * kImages + n];
      }
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
  const LaneImages kept, streamed;
  const float *kept_tensor, *streamed_tensor;
  bool bias;

  float* kept_of(int64_t range) const { return ws.kept + range * job.kept_floats(); }
  float* streamed_of(int64_t range) const { return ws.streamed + range * job.streamed_floats(); }

  // A slice of what a region has.
  void bring(int64_t number, int64_t range, int64_t slice) const {
    const LaneRegion region(job.regions, number);
    const auto part = [&](const LaneImages& images, const float* tensor, const LaneLayout& layout, int64_t planes,
                          float* of_range, bool is_dy) {
      const PlaneRange mine(planes, slice, job.slices);
      images.bring(tensor, region, layout, mine.first, mine.last, of_range + mine.first * layout.plane);
      if (!bias || !is_dy || mine.first >= job.bias_planes()) return;
      const int64_t rows = std::min(job.regions.rows, job.regions.h - region.top);  // those below are another stripe's
      sum_planes(of_range + mine.first * layout.plane, std::min(mine.last, job.bias_planes()) - mine.first, layout,
                 rows, job.regions.columns, ws.bias + number * job.bias_planes() + mine.first);
    };
    part(kept, kept_tensor, job.kept_layout, job.kept.planes(), kept_of(range), !job.keeps_x);
    part(streamed, streamed_tensor, job.streamed_layout, job.streamed.planes(), streamed_of(range), job.keeps_x);
  }

  void accumulate(int64_t number, int64_t range, int64_t slice) const {
    const WeightList& list = job.list;
    const LaneRegion region(job.regions, number);
    const int64_t row = slice * list.rows / job.slices, end = (slice + 1) * list.rows / job.slices;
    for (int64_t chunk = 0; chunk < list.chunks; ++chunk) {
      const int64_t segment = chunk * list.rows + row;
      const int64_t quad = range * list.quads + list.quad_of_row[static_cast<size_t>(segment)];
      for (int64_t tile = 0; tile < job.regions.tiles(); ++tile) {
        if (!kept.meets(region, tile)) continue;
        weight_tile_kernels().accumulate(job.regions.tile, static_cast<int>(list.outputs),
                                         {.begin = list.begin.data() + segment,
                                          .rows = end - row,
                                          .codes = list.codes.data(),
                                          .offsets = ws.weights.offsets(),
                                          .x = streamed_of(range) + chunk * list.chunk * job.streamed_layout.plane +
                                               job.streamed_layout.at_tile(job.regions, tile),
                                          .x_row = job.streamed_layout.row,
                                          .kept = kept_of(range) + row * list.outputs * job.kept_layout.plane +
                                                  job.kept_layout.at_tile(job.regions, tile),
                                          .kept_plane = job.kept_layout.plane,
                                          .kept_row = job.kept_layout.row,
                                          .sums = ws.quads + quad * kQuad});
      }
    }
  }
};

void sum_bias(const Gradient& job, const Workspace& ws, float* dbias) {
  const int64_t channels = job.terms.y.channels, planes = job.bias_planes();
  for (int64_t c = 0; c < channels; ++c) {
    float sum = 0;
    for (int64_t plane = c; plane < planes; plane += channels) {
      for (int64_t r = 0; r < job.regions.count(); ++r) sum += ws.bias[r * planes + plane];
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
  ws.weights.prepare(job.streamed_layout);
  const Accumulation a{.job = job,
                       .ws = ws,
                       .kept = LaneImages(job.kept, g.n, job.regions, /*own=*/true),
                       .streamed = LaneImages(job.streamed, g.n, job.regions),
                       .kept_tensor = (job.keeps_x ? x : dy).data<float>(),
                       .streamed_tensor = (job.keeps_x ? dy : x).data<float>(),
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
  ws.weights.scatter(ws.quads, job.ranges, dweight.data<float>());
  if (dbias) sum_bias(job, ws, dbias.data<float>());
}

}  // namespace poise::cpu
