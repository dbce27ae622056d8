#include "kernels/sparse/weights/image_lanes.h"

#include <algorithm>
#include <cstring>

#include "kernels/core/integer.h"

namespace poise::cpu {
namespace {

int64_t up_to_multiple(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// The tile that takes the least time: computed pixels, inside the image or not, and a fixed share per tile for walking
// the lists.
WeightTile best_tile(int64_t h, int64_t w) {
  WeightTile best = WeightTile::pixel;
  int64_t least = 0;
  for (int t = 0; t < kWeightTiles; ++t) {
    const auto tile = static_cast<WeightTile>(t);
    const int64_t tiles = ceil_div(h, rows_of(tile)) * ceil_div(w, columns_of(tile));
    const int64_t cost = tiles * (4 * pixels_of(tile) + 5);
    if (least == 0 || cost < least) least = cost, best = tile;
  }
  return best;
}

}  // namespace

Frame Frame::of(const WeightTerms& terms, bool backwards) {
  Frame frame;
  for (const WeightTerm& t : terms) {
    const int64_t dr = backwards ? -t.dr : t.dr, dc = backwards ? -t.dc : t.dc;
    frame.top = std::max(frame.top, -dr);
    frame.bottom = std::max(frame.bottom, dr);
    frame.left = std::max(frame.left, -dc);
    frame.right = std::max(frame.right, dc);
  }
  return frame;
}

LaneRegions::LaneRegions(int64_t images, const WeightSide& written, bool pointwise, const Frame& frame, int64_t planes,
                         int64_t most)
    : groups(ceil_div(images, kImages)), h(written.grid_h()), w(written.grid_w()), flat(pointwise) {
  if (flat) {
    image_pixels = h * w;
    w = groups * image_pixels;
    h = groups = 1;
  }
  tile = best_tile(h, w);
  const int64_t tile_rows = rows_of(tile), tile_columns = columns_of(tile);
  const int64_t whole_rows = up_to_multiple(h, tile_rows), whole_columns = up_to_multiple(w, tile_columns);
  rows = tile_rows, columns = tile_columns;
  const auto fits = [&](int64_t r, int64_t c) {
    return planes * (r + frame.top + frame.bottom) * (c + frame.left + frame.right) * kImages <= most;
  };
  // Grown by tiles, the shorter side first: the less frame there is to bring in.
  for (bool grown = true; grown;) {
    grown = false;
    const int64_t r = std::min(rows + tile_rows, whole_rows), c = std::min(columns + tile_columns, whole_columns);
    const bool wider_first = columns <= rows;
    for (const bool wider : {wider_first, !wider_first}) {
      const int64_t new_rows = wider ? rows : r, new_columns = wider ? c : columns;
      if (grown || (new_rows == rows && new_columns == columns) || !fits(new_rows, new_columns)) continue;
      rows = new_rows, columns = new_columns;
      grown = true;
    }
  }
  down = ceil_div(h, rows), across = ceil_div(w, columns);
  rows = up_to_multiple(ceil_div(h, down), tile_rows), columns = up_to_multiple(ceil_div(w, across), tile_columns);
}

LaneRegion::LaneRegion(const LaneRegions& all, int64_t number)
    : group(number / (all.down * all.across)),
      top(number / all.across % all.down * all.rows),
      left(number % all.across * all.columns) {}

LaneLayout::LaneLayout(const LaneRegions& regions, const Frame& around) : frame(around) {
  rows = regions.rows + frame.top + frame.bottom;
  columns = regions.columns + frame.left + frame.right;
  row = columns * kImages;
  // An odd number of lines, or the planes of a chunk would all want the same few sets of the cache.
  plane = (rows * columns | 1) * kImages;
}

int64_t LaneLayout::at_tile(const LaneRegions& regions, int64_t tile) const {
  const int64_t across = regions.columns / columns_of(regions.tile);
  return at(tile / across * rows_of(regions.tile), tile % across * columns_of(regions.tile));
}

LaneImages::Place LaneImages::place(const LaneRegion& region, int64_t r, int64_t c, int phase) const {
  int64_t group = region.group, p = region.top + r, q = region.left + c;
  if (regions_.flat) {
    if (p != 0 || q < 0 || q >= regions_.w) return {-1, 0};
    group = q / regions_.image_pixels;
    const int64_t pixel = q % regions_.image_pixels;
    p = pixel / side_.grid_w(), q = pixel % side_.grid_w();
  }
  p = p * side_.scale_h + phase / side_.scale_w, q = q * side_.scale_w + phase % side_.scale_w;
  if (p < 0 || q < 0 || p >= side_.h || q >= side_.w) return {-1, 0};
  return {((group * kImages * side_.h + p) * side_.w + q) * side_.channels,
          std::min<int64_t>(kImages, images_ - group * kImages)};
}

void LaneImages::bring(const float* tensor, const LaneRegion& region, const LaneLayout& layout, int64_t first,
                       int64_t last, float* planes) const {
  const WeightTileKernels& kernels = weight_tile_kernels();
  for (int64_t r = 0; r < layout.rows; ++r) {
    for (int64_t c = 0; c < layout.columns; ++c) {
      float* to = planes + r * layout.row + c * kImages;
      for (int64_t plane = first, next; plane < last; plane = next) {
        const auto phase = static_cast<int>(plane / side_.channels);
        next = std::min(last, (phase + 1) * side_.channels);
        const TransposeJob job{
            .channels = next - plane, .images = 0, .image_stride = image_stride(), .plane = layout.plane};
        bool any = false;
        for (int copy = 0; copy < copies(); ++copy) {
          const Place from = place(region, r - layout.frame.top, c - layout.frame.left, phase + copy);
          if (from.offset < 0) continue;
          TransposeJob part = job;
          part.images = from.images;
          kernels.bring(part, tensor + from.offset + plane % side_.channels, any, to);
          any = true;
        }
        for (int64_t i = 0; i < next - plane; ++i, to += layout.plane) {
          if (!any) std::memset(to, 0, kImages * sizeof(float));
        }
      }
    }
  }
}

bool LaneImages::meets(const LaneRegion& region, int64_t tile) const {
  const int64_t across = regions_.columns / columns_of(regions_.tile);
  return region.top + tile / across * rows_of(regions_.tile) < regions_.h &&
         region.left + tile % across * columns_of(regions_.tile) < regions_.w;
}

void LaneImages::return_tile(const float* sums, const LaneRegion& region, int64_t tile, int phase, int64_t first,
                             int64_t last, float* tensor) const {
  const int64_t tile_columns = columns_of(regions_.tile), across = regions_.columns / tile_columns;
  const int64_t pixels = pixels_of(regions_.tile);
  TransposeJob job{.channels = last - first, .images = 0, .image_stride = image_stride(), .plane = pixels * kImages};
  for (int64_t k = 0; k < pixels; ++k) {
    const int64_t r = tile / across * rows_of(regions_.tile) + k / tile_columns;
    const int64_t c = tile % across * tile_columns + k % tile_columns;
    for (int copy = 0; copy < copies(); ++copy) {
      const Place to = place(region, r, c, phase + copy);
      if (to.offset < 0) continue;
      job.images = to.images;
      weight_tile_kernels().return_(job, sums + k * kImages, tensor + to.offset + first);
    }
  }
}

}  // namespace poise::cpu
