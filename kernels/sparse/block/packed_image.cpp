#include "kernels/sparse/block/packed_image.h"

#include <algorithm>
#include <type_traits>

#include "kernels/core/channel_norm.h"
#include "kernels/core/dispatch.h"
#include "kernels/core/integer.h"
#include "kernels/core/simd.h"

namespace poise::cpu {
namespace {

constexpr int64_t kRegionRows = 8;

// The tile shape that computes the fewest pixels outside the image.
TileShape best_shape(int64_t h, int64_t w) {
  TileShape best = TileShape::row_16;
  int64_t least = 0;
  for (TileShape s : {TileShape::row_16, TileShape::rows_2x8, TileShape::rows_4x4}) {
    const int64_t computed = ceil_div(w, tile_columns(s)) * tile_columns(s) * ceil_div(h, tile_rows(s)) * tile_rows(s);
    if (least == 0 || computed < least) least = computed, best = s;
  }
  return best;
}

template <class From, class To>
void copy_block(To* to, const From* from) {
  if constexpr (std::is_same_v<From, To>) {
    using Bytes [[gnu::vector_size(kBlock * sizeof(To)), gnu::aligned(alignof(To)), gnu::may_alias]] = char;
    *reinterpret_cast<Bytes*>(to) = *reinterpret_cast<const Bytes*>(from);  // faster than a call of memmove
  } else {
    for (int i = 0; i < kBlock; ++i) to[i] = to_float(from[i]);
  }
}
template <class From, class To>
void copy_quarter(To* to, const From* from) {
  for (int i = 0; i < kBlock; ++i) to[i] = stored<To>(0.25f * to_float(from[i]));
}
template <class From>
void add_block(float* to, const From* from) {
  for (int i = 0; i < kBlock; ++i) to[i] += to_float(from[i]);
}

// Normalises channels c..c+15 of a pixel, with the rounding of a store to a tensor of From.
template <class From, class To>
void normalise_block(const ChannelNorm& n, int64_t c, To* to, const From* from) {
  for (int i = 0; i < kBlock; ++i) {
    const float scale = n.gamma[c + i] * n.inv_std[c + i];
    const float value = normalised(to_float(from[i]), n.mean[c + i], scale, n.beta[c + i]);
    const From rounded = stored<From>(value < n.floor ? n.floor : value);
    to[i] = stored<To>(to_float(rounded));
  }
}

template <class T>
constexpr T kZeros[kBlock] = {};

using Halves [[gnu::vector_size(kBlock * sizeof(bf16)), gnu::aligned(alignof(bf16)), gnu::may_alias]] = uint16_t;
static_assert(kBlock == 16, "the orders below");

// Interleaves two pixels to [16][2].
void interleave(const bf16* left, const bf16* right, bf16* to) {
  const Halves a = *reinterpret_cast<const Halves*>(left), b = *reinterpret_cast<const Halves*>(right);
  auto* pairs = reinterpret_cast<Halves*>(to);
  pairs[0] = __builtin_shuffle(a, b, Halves{0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23});
  pairs[1] = __builtin_shuffle(a, b, Halves{8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31});
}

// Interleaves two pixels to [blocks][16][2], `stride` elements apart per block.
void pair_blocks(int64_t blocks, int64_t stride, const bf16* left, const bf16* right, bool quarters,
                 const ChannelNorm& norm, bf16* to) {
  for (int64_t b = 0; b < blocks; ++b, to += stride) {
    const bf16* of_left = left ? left + b * kBlock : kZeros<bf16>;
    const bf16* of_right = right ? right + b * kBlock : kZeros<bf16>;
    if (norm) {
      bf16 normal_left[kBlock] = {}, normal_right[kBlock] = {};
      if (left) normalise_block(norm, b * kBlock, normal_left, of_left);
      if (right) normalise_block(norm, b * kBlock, normal_right, of_right);
      interleave(normal_left, normal_right, to);
    } else if (quarters) {
      bf16 quarter_left[kBlock], quarter_right[kBlock];
      copy_quarter(quarter_left, of_left), copy_quarter(quarter_right, of_right);
      interleave(quarter_left, quarter_right, to);
    } else {
      interleave(of_left, of_right, to);
    }
  }
}

}  // namespace

Regions::Regions(int64_t n, int64_t height, int64_t width, bool halo, bool whole_blocks)
    : images(n), h(height), w(width), pixels(height * width) {
  if (!halo) {
    pixels = n * height * width;
    images = 1;
    w = kTilePixels;
    h = ceil_div(pixels, w);
  }
  shape = halo ? best_shape(h, w) : TileShape::row_16;
  const int64_t tile = std::max(tile_rows(shape), whole_blocks ? 2 : 1);
  vertical = ceil_div(h, kRegionRows);
  rows = ceil_div(ceil_div(h, vertical), tile) * tile;
  vertical = ceil_div(h, rows);
  horizontal = ceil_div(w, columns());
}

Region::Region(const Regions& regions, int64_t index) : all(regions), number(index) {
  left = number % regions.horizontal * regions.columns();
  top = number / regions.horizontal % regions.vertical * regions.rows;
  image = number / (regions.horizontal * regions.vertical);
}

template <class From, class To>
void pack_region(const Region& region, const Placement& placement, const PackedLayout& layout, bool neighbours,
                 bool add, const From* from, To* packed, const Normalisation& normalisation) {
  require(!add || std::is_same_v<To, float>, "sums are added in f32 only");
  require(!normalisation || (!add && !placement.pooled), "only single pixels are normalised, not sums of pixels");
  const ChannelNorm norm = channel_norm(normalisation);
  simd([=, &region, &placement, &layout] {
    const int64_t blocks = placement.channels / kBlock, edge = neighbours ? 1 : 0;
    for (int64_t r = -edge; r < region.all.rows + edge; ++r) {
      for (int64_t c = -edge; c < region.all.columns() + edge; ++c) {
        To* to = packed + (r + layout.frame) * layout.row + (c + layout.frame) * kBlock;
        const int64_t p = region.top + r, q = region.left + c;
        if (!placement.has(region, p, q)) {
          if (!add) {
            for (int64_t b = 0; b < blocks; ++b) copy_block(to + b * layout.block, kZeros<To>);
          }
          continue;
        }
        const From* pixel = from + placement.offset(region, p, q);
        if (norm) {
          for (int64_t b = 0; b < blocks; ++b) {
            normalise_block(norm, b * kBlock, to + b * layout.block, pixel + b * kBlock);
          }
          continue;
        }
        if constexpr (std::is_same_v<To, float>) {
          if (add) {
            for (int64_t b = 0; b < blocks; ++b) add_block(to + b * layout.block, pixel + b * kBlock);
            continue;
          }
        }
        if (placement.pooled) {
          for (int64_t b = 0; b < blocks; ++b) copy_quarter(to + b * layout.block, pixel + b * kBlock);
          continue;
        }
        for (int64_t b = 0; b < blocks; ++b) copy_block(to + b * layout.block, pixel + b * kBlock);
      }
    }
  })();
}

void pack_pairs(const Region& region, const Placement& placement, const PackedLayout& layout, bool neighbours,
                const bf16* from, bf16* packed, const Normalisation& normalisation) {
  require(!normalisation || !placement.pooled, "only single pixels are normalised, not sums of pixels");
  const ChannelNorm norm = channel_norm(normalisation);
  const int64_t blocks = placement.channels / kBlock, edge = neighbours ? 1 : 0;
  const int64_t step = layout.frame ? 1 : 2, width = kBlock * (layout.frame ? 2 : 1);  // elements per column
  const auto pixel = [&](int64_t r, int64_t c) {
    const int64_t p = region.top + r, q = region.left + c;
    const bool read = placement.has(region, p, q) && c < region.all.columns() + edge;
    return read ? from + placement.offset(region, p, q) : nullptr;
  };
  simd([&] {
    for (int64_t r = -edge; r < region.all.rows + edge; ++r) {
      bf16* row = packed + (r + layout.frame) * layout.row;
      for (int64_t c = -edge; c < region.all.columns() + edge; c += step) {
        pair_blocks(blocks, layout.block, pixel(r, c), pixel(r, c + 1), placement.pooled, norm,
                    row + (c + layout.frame) * width);
      }
    }
  })();
}

template void pack_region(const Region&, const Placement&, const PackedLayout&, bool, bool, const float*, float*,
                          const Normalisation&);
template void pack_region(const Region&, const Placement&, const PackedLayout&, bool, bool, const bf16*, float*,
                          const Normalisation&);
template void pack_region(const Region&, const Placement&, const PackedLayout&, bool, bool, const bf16*, bf16*,
                          const Normalisation&);

}  // namespace poise::cpu
