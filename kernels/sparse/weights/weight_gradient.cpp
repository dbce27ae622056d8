// One of x and dy is kept, a tile of a plane at a time in registers, and the other streams past it. Usually x is
// streamed, by the list of an output's alive weights; dy is, if its windows have neighbours in other tiles.
//
// Regions are divided into a few ranges. For each region of a range, the kept planes are brought in, and then the
// streamed planes, a few chunks at a time. What the region's pixels contribute to the gradients of these planes' alive
// weights is added, tile by tile, to the range's sums. Finally the sums of all ranges are added up in a fixed order.
// The number of ranges depends on the geometry alone, so results have the same bits for any number of threads.
#include "kernels/sparse/weights/weight_gradient.h"

#include <algorithm>

#include "kernels/core/integer.h"
#include "kernels/core/parallel.h"
#include "kernels/core/simd.h"
#include "kernels/core/task_slots.h"
#include "kernels/sparse/weights/weight_gather.h"

namespace poise::cpu {
namespace {

constexpr int64_t kRegionFloats = 176 * 1024;  // per task: well inside the L2 cache
constexpr int64_t kMostRanges = 4;             // copies of the sums

struct Gradient {
  const Conv2dGeometry& g;
  const WeightTerms terms;
  const bool keeps_x;
  const WeightList& list;
  const WeightSide &kept, &streamed;
  const int64_t brought;  // streamed planes that are brought in at a time
  const LaneRegions regions;
  const LaneLayout kept_layout, streamed_layout;
  int64_t ranges;  // of regions
  int64_t parts;   // parts that a range's rows may be cut into, each a task

  Gradient(const Conv2dGeometry& geometry, const WeightIndex& index)
      : g(geometry),
        terms(geometry),
        keeps_x(terms.y.windows),
        list(keeps_x ? index.by_input : index.by_output),
        kept(keeps_x ? terms.x : terms.y),
        streamed(keeps_x ? terms.y : terms.x),
        brought(at_a_time(list.chunk)),
        regions(g.n, kept, terms.pointwise(), Frame::of(terms, keeps_x), at_a_time(1), kept.planes(), kRegionFloats),
        kept_layout(regions, Frame{}),
        streamed_layout(regions, Frame::of(terms, keeps_x)) {
    ranges = std::min(kMostRanges, regions.count());
    parts = std::min(list.rows, ceil_div(kWeightTasks, ranges));
  }

  int64_t kept_floats() const { return kept.planes() * kept_layout.plane; }  // of a region
  int64_t most_streamed_floats() const { return at_a_time(list.most_chunk) * streamed_layout.plane; }
  // Streamed planes at a time. With windows, those of all phases: they read the same pixels, which stay in a near cache
  // while they are brought in one by one.
  int64_t at_a_time(int64_t chunk) const {
    return streamed.windows ? streamed.planes() : brought_planes(streamed, chunk);
  }
  // Planes of dy that together have the sum of dy: with windows those of one phase, which has every pixel once.
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
  float* streamed;  // [tasks][most_streamed_floats]
  float* bias;      // [regions][bias_planes]
  size_t bytes;

  Workspace(const Gradient& job, WorkspaceLayout layout)
      : weights(job.terms, job.g, job.list, /*by_output=*/!job.keeps_x, /*values=*/false, layout) {
    quads = layout.carve<float>(static_cast<size_t>(job.ranges * job.list.quads * kQuad));
    const auto tasks = static_cast<size_t>(job.ranges * job.parts);
    kept = layout.carve<float>(static_cast<size_t>(job.ranges * job.kept_floats()));
    streamed = layout.carve<float>(tasks * static_cast<size_t>(job.most_streamed_floats()));
    bias = layout.carve<float>(static_cast<size_t>(job.regions.count() * job.bias_planes()));
    bytes = layout.bytes();
  }
};

// sums[p] = the sum of plane p.
const simd sum_planes([](const float* planes, int64_t count, const LaneLayout& layout, int64_t rows, int64_t columns,
                         float* sums) {
  for (int64_t p = 0; p < count; ++p) {
    float lanes[kImages] = {};
    for (int64_t r = 0; r < rows; ++r) {
      const float* row = planes + p * layout.plane + (r + layout.frame.top) * layout.row + layout.frame.left * kImages;
      float of_row[kImages] = {};  // so that rows do not wait for each other
      for (int64_t k = 0; k < columns; ++k) {
        for (int n = 0; n < kImages; ++n) of_row[n] += row[k * kImages + n];
      }
      for (int n = 0; n < kImages; ++n) lanes[n] += of_row[n];
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

  // A region's sums of planes first..last-1 of dy, which have just been brought in.
  void add_up_bias(int64_t number, const LaneLayout& layout, int64_t first, int64_t last, const float* planes) const {
    last = std::min(last, job.bias_planes());
    if (!bias || first >= last) return;
    const LaneRegion region(job.regions, number);
    const int64_t rows = std::min(job.regions.rows, job.regions.h - region.top);  // rows below belong to another stripe
    sum_planes(planes, last - first, layout, rows, job.regions.columns, ws.bias + number * job.bias_planes() + first);
  }

  // Adds what a region contributes to rows row..end-1 of a chunk. x: the region's streamed planes of the chunk.
  void accumulate(const LaneRegion& region, int64_t chunk, int64_t row, int64_t end, const float* x,
                  const float* of_kept, float* quads) const {
    const WeightList& list = job.list;
    for (int64_t tile = 0; tile < job.regions.tiles(); ++tile) {
      if (!kept.meets(region, tile)) continue;
      weight_tile_kernels().accumulate(job.regions.tile, static_cast<int>(list.outputs),
                                       {.begin = list.begin.data() + chunk * list.rows + row,
                                        .rows = end - row,
                                        .offsets = ws.weights.offsets(),
                                        .x = x + job.streamed_layout.at_tile(job.regions, tile),
                                        .x_row = job.streamed_layout.row,
                                        .kept = of_kept + job.kept_layout.at_tile(job.regions, tile),
                                        .kept_plane = job.kept_layout.plane,
                                        .kept_row = job.kept_layout.row,
                                        .sums = quads});
    }
  }

  // Adds up rows row..end-1 over all regions of a range, in memory that no other task uses.
  void accumulate(int64_t range, int64_t row, int64_t end, int64_t slot) const {
    const WeightList& list = job.list;
    const bool alone = end - row == list.rows;  // else the parts of a range are next to each other
    float* of_kept = ws.kept + (alone ? slot * job.kept_floats()
                                      : range * job.kept_floats() + row * list.outputs * job.kept_layout.plane);
    float* of_streamed = ws.streamed + slot * job.most_streamed_floats();
    float* of_range = ws.quads + range * list.quads * kQuad;
    const auto quads_of = [&](size_t segment) {
      return of_range + (segment < list.quad_of_row.size() ? list.quad_of_row[segment] : list.quads) * kQuad;
    };
    const RegionRange numbers(job.regions, range, job.ranges);
    for (int64_t number = numbers.first; number < numbers.last; ++number) {
      const LaneRegion region(job.regions, number);
      const int64_t first_kept = row * list.outputs, last_kept = end * list.outputs;
      kept.bring(kept_tensor, region, job.kept_layout, first_kept, last_kept, false, of_kept);
      if (!job.keeps_x) add_up_bias(number, job.kept_layout, first_kept, last_kept, of_kept);
      for (int64_t first = 0, last; first < job.streamed.planes(); first = last) {
        last = std::min(job.streamed.planes(), first + job.brought);
        streamed.bring(streamed_tensor, region, job.streamed_layout, first, last, first > 0, of_streamed);
        if (job.keeps_x && row == 0) add_up_bias(number, job.streamed_layout, first, last, of_streamed);
        for (int64_t plane = first; plane < last; plane += list.chunk) {
          const int64_t chunk = plane / list.chunk;
          const auto segment = static_cast<size_t>(chunk * list.rows);
          float* quads = quads_of(segment + static_cast<size_t>(row));
          if (number == numbers.first) std::fill(quads, quads_of(segment + static_cast<size_t>(end)), 0.0f);
          accumulate(region, chunk, row, end, of_streamed + (plane - first) * job.streamed_layout.plane, of_kept,
                     quads);
        }
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

void weight_gradient(const Conv2dGeometry& g, const WeightIndex& index, const LayerInput& in, const Tensor& dy,
                     Tensor& workspace, Tensor& dweight, Tensor& dbias) {
  const Tensor& x = in.x;
  const Normalisation none;
  const Gradient job(g, index);
  Workspace ws(job, WorkspaceLayout(workspace.bytes));
  ws.weights.prepare(job.streamed_layout);
  parallel_for(kWeightTasks, [&](int64_t task) { ws.weights.gather(task, kWeightTasks, /*weight=*/nullptr); });
  const Accumulation a{
      .job = job,
      .ws = ws,
      .kept = LaneImages(job.kept, g.n, job.regions, /*own=*/true, job.keeps_x ? in.normalisation : none),
      .streamed = LaneImages(job.streamed, g.n, job.regions, /*own=*/false, job.keeps_x ? none : in.normalisation),
      .kept_tensor = (job.keeps_x ? x : dy).data<float>(),
      .streamed_tensor = (job.keeps_x ? dy : x).data<float>(),
      .bias = static_cast<bool>(dbias)};
  // All parts of a range bring in the same streamed planes, which is still better than an idle thread.
  const int64_t parts = std::min(job.parts, ceil_div(thread_count(), job.ranges)), tasks = job.ranges * parts;
  TaskSlots slots(tasks);
  parallel_for(tasks, [&](int64_t task) {
    const int64_t part = task % parts, slot = slots.take();
    a.accumulate(task / parts, part * job.list.rows / parts, (part + 1) * job.list.rows / parts, slot);
    slots.give_back(slot);
  });
  ws.weights.scatter(ws.quads, job.ranges, dweight.data<float>());
  if (dbias) sum_bias(job, ws, dbias.data<float>());
}

}  // namespace poise::cpu
