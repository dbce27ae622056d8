#include "kernels/sparse/block/packed_image.h"

#include <algorithm>
#include <cstring>

#include "kernels/core/integer.h"

namespace poise::cpu {
namespace {

constexpr int64_t kRegionRows = 8;

// The tile that computes the fewest pixels outside the image.
TileShape best_shape(int64_t h, int64_t w) {
  TileShape best = TileShape::row_16;
  int64_t least = 0;
  for (TileShape s : {TileShape::row_16, TileShape::rows_2x8, TileShape::rows_4x4}) {
    const int64_t computed = ceil_div(w, tile_columns(s)) * tile_columns(s) * ceil_div(h, tile_rows(s)) * tile_rows(s);
    if (least == 0 || computed < least) least = computed, best = s;
  }
  return best;
}

void copy_block(float* to, const float* from) { std::memcpy(to, from, kBlock * sizeof(float)); }
void add_block(float* to, const float* from) {
  for (int i = 0; i < kBlock; ++i) to[i] += from[i];
}
void zero_block(float* to) { std::memset(to, 0, kBlock * sizeof(float)); }

}  // namespace

Regions::Regions(int64_t n, int64_t height, int64_t width, bool halo)
    : images(n), h(height), w(width), pixels(height * width) {
  if (!halo) {
    pixels = n * height * width;
    images = 1;
    w = kTilePixels;
    h = ceil_div(pixels, w);
  }
  shape = halo ? best_shape(h, w) : TileShape::row_16;
  const int64_t tile = tile_rows(shape);
  vertical = ceil_div(h, kRegionRows);
  rows = ceil_div(ceil_div(h, vertical), tile) * tile;
  vertical = ceil_div(h, rows);
  horizontal = ceil_div(w, columns());
}

Region::Region(const Regions& regions, int64_t index) : all(regions) {
  left = index % regions.horizontal * regions.columns();
  top = index / regions.horizontal % regions.vertical * regions.rows;
  image = index / (regions.horizontal * regions.vertical);
}

void pack_region(const Region& region, const Placement& placement, const PackedLayout& layout, bool neighbours,
                 bool add, const float* from, float* packed) {
  const int64_t blocks = placement.channels / kBlock, edge = neighbours ? 1 : 0;
  for (int64_t r = -edge; r < region.all.rows + edge; ++r) {
    for (int64_t c = -edge; c < region.all.columns() + edge; ++c) {
      float* to = packed + (r + layout.frame) * layout.row + (c + layout.frame) * kBlock;
      const int64_t p = region.top + r, q = region.left + c;
      if (!region.inside(p, q)) {
        if (!add) {
          for (int64_t b = 0; b < blocks; ++b) zero_block(to + b * layout.block);
        }
        continue;
      }
      const float* pixel = from + placement.offset(region, p, q);
      if (add) {
        for (int64_t b = 0; b < blocks; ++b) add_block(to + b * layout.block, pixel + b * kBlock);
      } else {
        for (int64_t b = 0; b < blocks; ++b) copy_block(to + b * layout.block, pixel + b * kBlock);
      }
    }
  }
}

}  // namespace poise::cpu
