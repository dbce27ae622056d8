#include "kernels/sparse/weights/image_lanes.h"

#include <algorithm>
#include <cstring>

#include "kernels/core/integer.h"

namespace poise::cpu {
namespace {

int64_t up_to_multiple(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// The tile that takes the least time: computed pixels, inside the image or not, and a fixed share per tile for walking
// the lists. With windows, two of three taps of an axis see the phase whose tile is grown.
WeightTile best_tile(int64_t h, int64_t w, bool windows) {
  WeightTile best = WeightTile::pixel;
  int64_t least = 0;
  for (int t = 0; t < kWeightTiles; ++t) {
    const auto tile = static_cast<WeightTile>(t);
    const int64_t r = rows_of(tile), c = columns_of(tile);
    if (windows && grown(tile, 0, 1) == WeightTile::pixel) continue;  // nothing is as wide
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
    constexpr int64_t kStripe = 4;  // rows: fewer would bring in more of their neighbours than of themselves
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
  // An odd number of lines, or the planes of a chunk would all want the same few sets of the cache.
  plane = (rows * columns | 1) * kImages;
}

int64_t LaneLayout::at_tile(const LaneRegions& regions, int64_t tile) const {
  const int64_t across = regions.columns / columns_of(regions.tile);
  return at(tile / across * rows_of(regions.tile), tile % across * columns_of(regions.tile));
}

int64_t LaneImages::place(int64_t image, int64_t p, int64_t q, int64_t down, int64_t right) const {
  p = p * side_.scale_h + down, q = q * side_.scale_w + right;
  if (image >= images_ || p < 0 || q < 0 || p >= side_.h || q >= side_.w) return -1;
  return ((image * side_.h + p) * side_.w + q) * side_.channels;
}

bool LaneImages::places(const LaneRegion& region, int64_t r, int64_t c, int64_t down, int64_t right,
                        int64_t* of_lanes) const {
  const int64_t p = region.top + r, q = region.left + c;
  bool any = false;
  if (regions_.flat) {
    if (p != 0 || q < 0 || q >= regions_.w) return false;
    const int64_t pixel = q * kImages % regions_.image_pixels, across = side_.grid_w();
    int64_t image = q * kImages / regions_.image_pixels, of_p = pixel / across, of_q = pixel % across;
    for (int64_t lane = 0; lane < kImages; ++lane) {
      of_lanes[lane] = place(image, of_p, of_q, down, right);
      any = any || of_lanes[lane] >= 0;
      if (++of_q == across) of_q = 0, ++of_p;
      if (of_p * across == regions_.image_pixels) of_p = 0, ++image;
    }
    return any;
  }
  if (own_ && p >= regions_.h) return false;
  const int64_t images = kImages / regions_.stripes, stride = side_.h * side_.w * side_.channels;
  for (int64_t stripe = 0; stripe < regions_.stripes; ++stripe) {
    const int64_t first = place(region.group * images, p + stripe * regions_.h, q, down, right);
    for (int64_t i = 0; i < images; ++i) {
      const bool inside = first >= 0 && region.group * images + i < images_;
      of_lanes[stripe * images + i] = inside ? first + i * stride : -1;
    }
    any = any || first >= 0;
  }
  return any;
}

void LaneImages::list_places(const LaneRegion& region, const LaneLayout& layout, Places* of_pixels) const {
  for (int64_t r = -layout.frame.top; r < layout.rows - layout.frame.top; ++r) {
    for (int64_t c = -layout.frame.left; c < layout.columns - layout.frame.left; ++c, ++of_pixels) {
      if (!places(region, r, c, 0, 0, *of_pixels)) std::fill_n(*of_pixels, kImages, kNowhere);
    }
  }
}

void LaneImages::bring(const float* tensor, const LaneRegion& region, const LaneLayout& layout, int64_t first,
                       int64_t last, const Places* of_pixels, bool clean, float* planes) const {
  const WeightTileKernels& kernels = weight_tile_kernels();
  if (of_pixels) {
    for (int64_t pixel = 0; pixel < layout.pixels(); ++pixel) {
      float* to = planes + pixel * kImages;
      if (of_pixels[pixel][0] != kNowhere) {
        kernels.bring({.channels = last - first,
                       .plane = layout.plane,
                       .places = of_pixels + pixel,
                       .count = 1,
                       .share = side_.share,
                       .soon = regions_.step(side_)},
                      tensor + first, to);
        continue;
      }
      if (clean) continue;
      for (int64_t i = first; i < last; ++i, to += layout.plane) std::memset(to, 0, kImages * sizeof(float));
    }
    return;
  }
  int64_t of_lanes[4][kImages];
  for (int64_t r = 0; r < layout.rows; ++r) {
    for (int64_t c = 0; c < layout.columns; ++c) {
      float* to = planes + r * layout.row + c * kImages;
      for (int64_t plane = first, next; plane < last; plane = next) {
        const int64_t phase = plane / side_.channels;
        next = std::min(last, (phase + 1) * side_.channels);
        const int64_t down = phase / side_.scale_w, right = phase % side_.scale_w;
        int count = 0;
        for (int copy = 0; copy < copies(); ++copy) {
          count += places(region, r - layout.frame.top, c - layout.frame.left, down + copy / 2, right + copy % 2,
                          of_lanes[count]);
        }
        if (count == 3) std::fill_n(of_lanes[count++], kImages, int64_t{-1});  // a job takes 1, 2 or 4
        if (count > 0) {
          kernels.bring({.channels = next - plane,
                         .plane = layout.plane,
                         .places = of_lanes,
                         .count = count,
                         .share = side_.share,
                         .soon = regions_.step(side_)},
                        tensor + plane % side_.channels, to);
        }
        for (int64_t i = 0; i < next - plane; ++i, to += layout.plane) {
          if (count == 0) std::memset(to, 0, kImages * sizeof(float));
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
                             int64_t last, Finish finish, float* tensor) const {
  const int64_t rows = rows_of(regions_.tile), columns = columns_of(regions_.tile);
  const int64_t across = regions_.columns / columns;
  int64_t of_lanes[kImages];
  ReturnJob job{.channels = last - first,
                .places = of_lanes,
                .count = side_.windows ? 4 : 1,
                .share = side_.share,
                .finish = finish};
  const float* of_phase[4] = {sums};
  for (int i = 0; i < job.count; ++i) {
    job.plane[i] = pixels_of(tile_of(i)) * kImages;
    if (i > 0) of_phase[i] = of_phase[i - 1] + job.channels * job.plane[i - 1];
  }
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      for (int copy = 0; copy < copies(); ++copy) {
        const int64_t down = copies() > 1 ? copy / 2 : phase / side_.scale_w;
        const int64_t right = copies() > 1 ? copy % 2 : phase % side_.scale_w;
        const int64_t top = tile / across * rows + r, left = tile % across * columns + c;
        if (!places(region, top, left, down, right, of_lanes)) continue;
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
