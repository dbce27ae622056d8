// Images in the layout of the CPU's block-sparse loops (block_tiles.h), cut into regions. A region is a few rows of
// output pixels, as wide as a tile, with all channels and a frame of one pixel, small enough for the L2 cache.
#pragma once
#include "kernels/core/layer_input.h"
#include "kernels/core/tensor.h"
#include "kernels/sparse/block/block_tiles.h"

namespace poise::cpu {

// How a set of images is cut into regions. Where the convolution enlarges, pixels are those of the small image.
struct Regions {
  int64_t images, h, w, pixels;  // per image; pixels <= h * w, because the last row may be short without a halo
  TileShape shape;
  int64_t rows;                  // per region, a multiple of the tile's
  int64_t vertical, horizontal;  // regions per image

  // halo: neighbouring pixels are read. Without it, the pixels of all images are one row, folded to a tile's width.
  // whole_blocks: no 2x2 block of pixels is split between two regions.
  Regions(int64_t n, int64_t h, int64_t w, bool halo, bool whole_blocks);
  int64_t count() const { return images * vertical * horizontal; }
  int columns() const { return tile_columns(shape); }
  int64_t packed_rows() const { return rows + 2; }
  int64_t packed_block() const { return packed_rows() * packed_row(columns()); }  // floats of one channel block
  int64_t dense_block() const { return rows * columns() * kBlock; }               // without the frame
};

struct Region {
  const Regions& all;
  int64_t number, image, top, left;
  Region(const Regions& regions, int64_t number);
  bool inside(int64_t p, int64_t q) const { return p >= 0 && q >= 0 && q < all.w && p * all.w + q < all.pixels; }
};

// The place of a pixel of the small image in a tensor [N,scale*h,scale*w,C]: (scale*p + a, scale*q + b). If `pooled`,
// in [N,h/2,w/2,C], means of 2x2 pixels: the pixel is a quarter of one, a last odd row or column is in none of them.
struct Placement {
  int64_t scale, a, b, channels;
  bool pooled = false;
  bool has(const Region& region, int64_t p, int64_t q) const {
    return region.inside(p, q) && !(pooled && (p / 2 >= region.all.h / 2 || q / 2 >= region.all.w / 2));
  }
  int64_t offset(const Region& region, int64_t p, int64_t q) const {
    const Regions& r = region.all;
    if (pooled) return ((region.image * (r.h / 2) + p / 2) * (r.w / 2) + q / 2) * channels;
    const int64_t big_w = scale * r.w;
    const int64_t image = r.pixels * scale * scale;
    return ((region.image * image) + (scale * p + a) * big_w + scale * q + b) * channels;
  }
};

// The layout of a region in memory: [C/16][rows][columns][16], with or without a frame of one pixel.
struct PackedLayout {
  int64_t row, block;  // elements from one row, one channel block to the next
  int64_t frame;       // 1 or 0
  static PackedLayout framed(const Regions& r) { return {packed_row(r.columns()), r.packed_block(), 1}; }
  static PackedLayout plain(const Regions& r) { return {r.columns() * kBlock, r.dense_block(), 0}; }
  // [C/16][rows][columns][16][2]: each pixel is paired with the one to its right.
  static PackedLayout framed_pairs(const Regions& r) { return {2 * packed_row(r.columns()), 2 * r.packed_block(), 1}; }
};

// Packs the region's pixels, and with `neighbours` those of the frame; zero outside the image. If pooled, a pixel is a
// quarter of its mean. `add` adds to the values in `packed`. Pixels that are neither pooled nor added may be
// normalised. Types: float to float, bf16 to either; `add` only to float.
template <class From, class To>
void pack_region(const Region& region, const Placement& placement, const PackedLayout& layout, bool neighbours,
                 bool add, const From* from, To* packed, const Normalisation& normalisation = {});

// The same in pairs of pixels (block_tiles.h): a pair begins at each column of a framed layout, and at every other
// column of a plain one.
void pack_pairs(const Region& region, const Placement& placement, const PackedLayout& layout, bool neighbours,
                const bf16* from, bf16* packed, const Normalisation& normalisation = {});

}  // namespace poise::cpu
