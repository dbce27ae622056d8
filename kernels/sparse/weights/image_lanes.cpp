#include "kernels/sparse/weights/image_lanes.h"

#include <algorithm>

#include "kernels/core/integer.h"

namespace poise::cpu {
namespace {

constexpr uint32_t first_lanes(int64_t count) { return (uint32_t{1} << std::clamp<int64_t>(count, 0, kImages)) - 1; }

int64_t up_to_multiple(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// The tile that takes the least time, estimated as its computed pixels, inside the image or not, plus a fixed cost per
// tile for walking the lists. With windows, two of the three taps of an axis belong to the phase whose tile is grown.
WeightTile best_tile(int64_t h, int64_t w, bool windows) {
  WeightTile best = WeightTile::pixel;
  int64_t least = 0;
  for (int t = 0; t < kWeightTiles; ++t) {
    const auto tile = static_cast<WeightTile>(t);
    const int64_t r = rows_of(tile), c = columns_of(tile);
    if (windows && grown(tile, 0, 1) == WeightTile::pixel) continue;  // no tile is one column wider
    const int64_t pixels_of_nine = windows ? (3 * r + 2) * (3 * c + 2) : 9 * r * c;
    const int64_t cost = ceil_div(h, r) * ceil_div(w, c) * (4 * pixels_of_nine + 9 * 5);
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
  if ((backwards ? terms.x : terms.y).windows) ++frame.top, ++frame.left;
  return frame;
}

LaneRegions::LaneRegions(int64_t images, const WeightSide& written, bool pointwise, const Frame& frame, int64_t framed,
                         int64_t bare, int64_t most)
    : h(written.grid_h()), w(written.grid_w()), flat(pointwise) {
  if (flat) {
    image_pixels = h * w;
    w = ceil_div(images * image_pixels, kImages);
    h = 1;
  } else {
    constexpr int64_t kStripe = 4;  // rows; fewer would bring in more neighbouring rows than rows of their own
    const int64_t whole = h;
    groups = ceil_div(images, kImages);
    for (int64_t s = 2; s <= kImages; s *= 2) {
      const int64_t stripe = ceil_div(whole, s);
      const bool fills_lanes = s * images <= kImages && stripe < h;
      const bool divides = s * images > kImages && stripe * s == whole && stripe >= kStripe && groups < kWeightTasks;
      if (!fills_lanes && !divides) continue;
      stripes = s, h = stripe;
      groups = ceil_div(images * stripes, kImages);
    }
  }
  tile = best_tile(h, w, written.windows);
  const int64_t tile_rows = rows_of(tile), tile_columns = columns_of(tile);
  const int64_t whole_rows = up_to_multiple(h, tile_rows), whole_columns = up_to_multiple(w, tile_columns);
  rows = tile_rows, columns = tile_columns;
  const auto fits = [&](int64_t r, int64_t c) {
    return (framed * (r + frame.top + frame.bottom) * (c + frame.left + frame.right) + bare * r * c) * kImages <= most;
  };
  // Grow the region tile by tile, the shorter side first, so that less frame is brought in.
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

double LaneRegions::full_share(int64_t images, const WeightSide& written) const {
  const int64_t pixels = images * written.grid_h() * written.grid_w();
  return static_cast<double>(pixels) / static_cast<double>(groups * h * w * kImages);
}

LaneRegion::LaneRegion(const LaneRegions& all, int64_t number)
    : group(number / (all.down * all.across)),
      top(number / all.across % all.down * all.rows),
      left(number % all.across * all.columns) {}

LaneLayout::LaneLayout(const LaneRegions& regions, const Frame& around) : frame(around) {
  rows = regions.rows + frame.top + frame.bottom;
  columns = regions.columns + frame.left + frame.right;
  row = columns * kImages;
  plane = plane_floats(rows * columns);
}

int64_t LaneLayout::at_tile(const LaneRegions& regions, int64_t tile) const {
  const int64_t across = regions.columns / columns_of(regions.tile);
  return at(tile / across * rows_of(regions.tile), tile % across * columns_of(regions.tile));
}

LaneImages::LaneImages(const WeightSide& side, int64_t images, const LaneRegions& regions, bool own,
                       const Normalisation& normalisation)
    : side_(side),
      images_(images),
      regions_(regions),
      own_(own),
      normalisation_(normalisation),
      images_of_group_(kImages / regions.stripes) {
  require(!normalisation || (copies() == 1 && side.share == 1),
          "only single pixels are normalised, not sums of pixels");
  for (int64_t lane = 0; lane < kImages; ++lane) {
    const int64_t stripe = lane / images_of_group_, image = lane % images_of_group_;
    const int64_t row = image * side.h + stripe * regions.h * side.scale_h;
    lanes_[lane] = (regions.flat ? lane : row * side.w) * side.channels;
  }
}

const int64_t* LaneImages::lanes_of(const LaneRegion& region, int64_t c, int64_t* listed) const {
  if (!regions_.flat || follow_each_other()) return lanes_;
  const int64_t first = (region.left + c) * kImages, across = side_.grid_w();
  int64_t image = first / regions_.image_pixels, row = first % regions_.image_pixels / across, column = first % across;
  for (int64_t lane = 0; lane < kImages; ++lane) {
    listed[lane] = ((image * side_.h + row * side_.scale_h) * side_.w + column * side_.scale_w) * side_.channels;
    if (++column == across) column = 0, ++row;
    if (row * across == regions_.image_pixels) row = 0, ++image;
  }
  return listed;
}

int64_t LaneImages::at(const LaneRegion& region, int64_t r, int64_t c, int64_t down, int64_t right) const {
  int64_t row = down, column = right;
  if (!regions_.flat) {
    row += region.group * images_of_group_ * side_.h + (region.top + r) * side_.scale_h;
    column += (region.left + c) * side_.scale_w;
  } else if (follow_each_other()) {
    column += (region.left + c) * kImages;
  }
  return (row * side_.w + column) * side_.channels;
}

uint32_t LaneImages::lanes_in_row(const LaneRegion& region, int64_t r, int64_t down) const {
  const int64_t p = region.top + r;
  if (regions_.flat) return p == 0 ? kAllLanes : 0;
  if (own_ && p >= regions_.h) return 0;
  const uint32_t of_stripe = first_lanes(std::min(images_of_group_, images_ - region.group * images_of_group_));
  uint32_t lanes = 0;
  for (int64_t stripe = 0; stripe < regions_.stripes; ++stripe) {
    const int64_t row = (p + stripe * regions_.h) * side_.scale_h + down;
    if (row >= 0 && row < side_.h) lanes |= of_stripe << stripe * images_of_group_;
  }
  return lanes;
}

uint32_t LaneImages::lanes_in_column(const LaneRegion& region, int64_t c, int64_t right) const {
  const int64_t q = region.left + c;
  if (regions_.flat) return q >= 0 ? first_lanes(images_ * regions_.image_pixels - q * kImages) : 0;
  const int64_t column = q * side_.scale_w + right;
  return column >= 0 && column < side_.w ? kAllLanes : 0;
}

int64_t LaneImages::run(const LaneRegion& region, int64_t c, int64_t end, int64_t right) const {
  if (regions_.flat && !follow_each_other()) return 1;
  const uint32_t lanes = lanes_in_column(region, c, right), beside = lanes_in_column(region, c, right + 1);
  int64_t next = c + 1;
  while (next < end && lanes_in_column(region, next, right) == lanes &&
         (copies() == 1 || lanes_in_column(region, next, right + 1) == beside)) {
    ++next;
  }
  return next - c;
}

void LaneImages::bring(const float* tensor, const LaneRegion& region, const LaneLayout& layout, int64_t first,
                       int64_t last, bool again, float* planes) const {
  const bool clean = again && side_.phases == 1 && copies() == 1;
  const int64_t end = layout.columns - layout.frame.left;
  int64_t listed[kImages];
  for (int64_t r = -layout.frame.top; r < layout.rows - layout.frame.top; ++r) {
    for (int64_t plane = first, next; plane < last; plane = next) {
      const int64_t phase = plane / side_.channels;
      next = std::min(last, (phase + 1) * side_.channels);
      const int64_t down = phase / side_.scale_w, right = phase % side_.scale_w;
      const uint32_t of_row[2] = {lanes_in_row(region, r, down), lanes_in_row(region, r, down + 1)};
      BringJob job{.channels = next - plane,
                   .plane = layout.plane,
                   .step = regions_.step(side_),
                   .share = side_.share,
                   .norm = channel_norm(normalisation_, plane % side_.channels)};
      for (int64_t c = -layout.frame.left; c < end; c += job.pixels) {
        job.pixels = run(region, c, end, right);
        job.count = 0;
        for (int copy = 0; copy < copies(); ++copy) {
          const uint32_t lanes = of_row[copy / 2] & lanes_in_column(region, c, right + copy % 2);
          if (lanes == 0) continue;
          job.present[job.count] = lanes;
          job.at[job.count++] = at(region, r, c, down + copy / 2, right + copy % 2);
        }
        float* to = planes + (plane - first) * layout.plane + layout.at(r, c);
        if (job.count > 0) {
          job.lanes = lanes_of(region, c, listed);
          weight_tile_kernels().bring(job, tensor + plane % side_.channels, to);
        } else if (!clean) {
          for (int64_t i = 0; i < job.channels; ++i) {
            std::fill_n(to + i * layout.plane, job.pixels * kImages, 0.0f);
          }
        }
      }
    }
  }
}

WeightTile LaneImages::tile_of(int phase) const {
  return side_.windows ? grown(regions_.tile, phase / 2, phase % 2) : regions_.tile;
}

bool LaneImages::meets(const LaneRegion& region, int64_t tile) const {
  const int64_t across = regions_.columns / columns_of(regions_.tile);
  return region.top + tile / across * rows_of(regions_.tile) < regions_.h &&
         region.left + tile % across * columns_of(regions_.tile) < regions_.w;
}

void LaneImages::return_tile(const float* sums, const LaneRegion& region, int64_t tile, int phase, int64_t first,
                             int64_t last, const ReturnJob& how, float* tensor) const {
  const int64_t rows = rows_of(regions_.tile), columns = columns_of(regions_.tile);
  const int64_t across = regions_.columns / columns;
  const int64_t first_row = copies() > 1 ? 0 : phase / side_.scale_w;
  const int64_t first_column = copies() > 1 ? 0 : phase % side_.scale_w;
  int64_t listed[kImages];
  ReturnJob job = how;
  job.channels = last - first;
  job.step = regions_.step(side_);
  job.count = side_.windows ? 4 : 1;
  job.share = side_.share;
  const float* of_phase[4] = {sums};
  for (int i = 0; i < job.count; ++i) {
    job.plane[i] = plane_floats(tile_of(i));
    if (i > 0) of_phase[i] = of_phase[i - 1] + job.channels * job.plane[i - 1];
  }
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t top = tile / across * rows + r, left = tile % across * columns;
    for (int64_t c = 0; c < columns; c += job.pixels) {
      // Copies are of the same sums, which stay in a near cache if pixels are returned one by one.
      job.pixels = copies() > 1 ? 1 : run(region, left + c, left + columns, first_column);
      job.lanes = lanes_of(region, left + c, listed);
      for (int copy = 0; copy < copies(); ++copy) {
        const int64_t down = first_row + copy / 2, right = first_column + copy % 2;
        job.present = lanes_in_row(region, top, down) & lanes_in_column(region, left + c, right);
        if (job.present == 0) continue;
        job.at = at(region, top, left + c, down, right);
        for (int i = 0; i < job.count; ++i) {
          const int64_t row = r + i / 2 * down, column = c + i % 2 * right;
          job.from[i] = of_phase[i] + (row * columns_of(tile_of(i)) + column) * kImages;
        }
        weight_tile_kernels().return_(job, tensor + first);
      }
    }
  }
}

}  // namespace poise::cpu
