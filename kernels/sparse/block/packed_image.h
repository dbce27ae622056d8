// Images as the block-sparse loops of the CPU read them (block_tiles.h), cut into regions: a region is a few rows of
// output pixels, as wide as a tile, with all channels and one pixel around, small enough for the second-level cache.
#pragma once
#include "kernels/core/layer_input.h"
#include "kernels/core/tensor.h"
#include "kernels/sparse/block/block_tiles.h"

namespace poise::cpu {

// How a set of images is cut. Pixels are those of the small image where the convolution enlarges.
struct Regions {
  int64_t images, h, w, pixels;  // per image; pixels <= h * w where the last row is not full (see flat)
  TileShape shape;
  int64_t rows;                  // of a region, a multiple of the tile's
  int64_t vertical, horizontal;  // regions of an image

  // halo: neighbours matter. Without, the pixels of all images are one row of pixels, folded to a tile's width.
  // whole_blocks: no 2x2 block of pixels lies in two regions.
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

// Where a pixel of the small image is in a tensor [N,scale*h,scale*w,C]: at (scale*p + a, scale*q + b). Or, `pooled`, in
// one of the means of 2x2 pixels, [N,h/2,w/2,C], of which it is a quarter; a last odd row or column is in none.
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

// The layout of a region in memory: [C/16][rows][columns][16], with a frame of one pixel around it or without.
struct PackedLayout {
  int64_t row, block;  // elements from one row, one channel block to the next
  int64_t frame;       // 1 or 0
  static PackedLayout framed(const Regions& r) { return {packed_row(r.columns()), r.packed_block(), 1}; }
  static PackedLayout plain(const Regions& r) { return {r.columns() * kBlock, r.dense_block(), 0}; }
  // [C/16][rows][columns][16][2]: each pixel with the one to its right.
  static PackedLayout framed_pairs(const Regions& r) { return {2 * packed_row(r.columns()), 2 * r.packed_block(), 1}; }
};

// The region's pixels (of a mean, a quarter each), and with `neighbours` those of the frame; zero outside the image.
// `add`: onto what is there. Of neither kind, they may be normalised.
// float to float, bf16 to either; `add` to float alone.
template <class From, class To>
void pack_region(const Region& region, const Placement& placement, const PackedLayout& layout, bool neighbours,
                 bool add, const From* from, To* packed, const Normalisation& normalisation = {});

// The same in pairs of pixels (block_tiles.h): a framed layout has one that begins at each column, the plain one at every
// other.
void pack_pairs(const Region& region, const Placement& placement, const PackedLayout& layout, bool neighbours,
                const bf16* from, bf16* packed, const Normalisation& normalisation = {});

}  // namespace poise::cpu
