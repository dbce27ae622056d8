// The inner loops of execution weight by weight on the CPU, compiled once per instruction set (weight_tiles_*.cpp).
//
// Sixteen images are interleaved: a plane of one channel is [rows][columns][16], so a vector register holds one pixel
// of several images, a filter tap is an offset, and an alive weight costs a load of x and a multiply-add per vector, no
// matter which other weights are alive. A tile is a few neighbouring pixels whose sums stay in registers while the loop
// walks a row's alive weights; one pass over the list thus serves all of them.
//
// Entries of a list are weights, or runs of 2 or 4 neighbouring outputs that are alive together.
#pragma once
#include <cstdint>

#include "kernels/core/channel_norm.h"
#include "kernels/core/moment_sums.h"
#include "kernels/dense/conv2d/finish.h"

namespace poise::cpu {

constexpr int kImages = 16;  // per group: 64 bytes
constexpr uint32_t kAllLanes = (uint32_t{1} << kImages) - 1;

// Tiles that regions are cut into, then tiles with one more row, column or both, for pixels that are added up to sums
// of 2x2 neighbours (weight_terms.h).
enum class WeightTile : uint8_t {
  rows_4x4,
  rows_2x4,
  row_8,
  rows_2x2,
  row_4,
  row_2,
  pixel,
  rows_5x5,
  rows_5x4,
  rows_4x5,
  rows_3x5,
  rows_3x4,
  rows_2x5,
  rows_3x3,
  rows_3x2,
  rows_2x3,
  rows_2x1,
};
constexpr int kWeightTiles = 7;  // the first seven, which regions are cut into
constexpr int kAllWeightTiles = 17;
constexpr int kMostTileRows = 5;
constexpr int kMostTilePixels = 16;  // of those seven
constexpr int columns_of(WeightTile t) {
  constexpr int columns[kAllWeightTiles] = {4, 4, 8, 2, 4, 2, 1, 5, 4, 5, 5, 4, 5, 3, 2, 3, 1};
  return columns[static_cast<int>(t)];
}
constexpr int rows_of(WeightTile t) {
  constexpr int rows[kAllWeightTiles] = {4, 2, 1, 2, 1, 1, 1, 5, 5, 4, 3, 3, 2, 3, 3, 2, 2};
  return rows[static_cast<int>(t)];
}
constexpr int pixels_of(WeightTile t) { return rows_of(t) * columns_of(t); }
// Floats from one output's sums of a tile to the next output's, and in general from one plane of `pixels` pixels to the
// next. This is an odd number of cache lines: otherwise the lines of sixteen channels, which are transposed together,
// would compete for the same few sets of a cache.
constexpr int64_t plane_floats(int64_t pixels) { return (pixels | 1) * kImages; }
constexpr int64_t plane_floats(WeightTile t) { return plane_floats(pixels_of(t)); }
// The tile with this many more rows and columns (0 or 1 each); `pixel` if there is none.
constexpr WeightTile grown(WeightTile tile, int rows, int columns) {
  for (int t = 0; t < kAllWeightTiles; ++t) {
    const auto other = static_cast<WeightTile>(t);
    if (rows_of(other) == rows_of(tile) + rows && columns_of(other) == columns_of(tile) + columns) return other;
  }
  return WeightTile::pixel;
}

// For rows r, outputs b of the entries, pixels k of the tile, images n:
//   sums[r][b][k][n] (+)= sum over e in begin[r]..begin[r+1]-1 of  values[e][b] * x[offsets[e] + pixel k + n]
struct MultiplyJob {
  const int32_t* begin;  // [rows + 1]
  int64_t rows;
  const int32_t* offsets;  // in floats, per entry, numbered as in `begin`
  const float* values;     // [entries][B]
  const float* x;          // first pixel of the tile
  int64_t x_row;           // floats from one row of pixels to the next
  bool first;              // sums start from start[r][b] (0 if `start` is null); otherwise from the values in `sums`
  const float* start;
  float* sums;  // [rows][B][plane_floats(tile)], each [pixels][16]
};

// The gradients of the same entries, added to the values in `sums`:
//   sums of e, b  +=  sum over pixels k, images n of  x[offsets[e] + pixel k + n] * kept[r][b][k][n]
//
// in quads of four weights in list order (of a row with B outputs, 4/B entries). Each row starts a new quad.
struct AccumulateJob {
  const int32_t* begin;
  int64_t rows;
  const int32_t* offsets;
  const float* x;
  int64_t x_row;
  const float* kept;             // first pixel of the tile, first row
  int64_t kept_plane, kept_row;  // floats from one output to the next, and from one row of pixels to the next
  float* sums;                   // the first row's first quad
};

// The jobs below copy `channels` neighbouring channels of a run of pixels in sixteen lanes from a tensor to
// [channel][pixel][lane], and back. Channel c of lane n of pixel i is at[..] + lanes[n] + i * step + c floats from the
// start of the tensor. Bit n of `present`: lane n has these pixels; an absent lane reads as 0 and is not written.

// planes[c][i] = share * sum over k < count of  tensor[at[k] + lanes[n] + i * step + c]
//
// or, for count == 1 with `norm`, the normalised value (kernels/core/channel_norm.h); absent lanes stay zero.
struct BringJob {
  int64_t pixels, channels;
  int64_t plane;  // floats from one channel's lanes to the next
  const int64_t* lanes;
  int64_t step;
  int count = 0;  // 1, 2 or 4
  int64_t at[4] = {};
  uint32_t present[4] = {};
  float share;
  ChannelNorm norm;  // from the first channel on
};
// tensor[at + lanes[n] + i * step + c] = share * sum over k < count of  from[k][c][i], finished. The results are also
// added to `moments` and `gradients` unless null, which begin at the job's first channel. For `gradients`, `x` is what
// `norm` normalises, laid out as the tensor.
struct ReturnJob {
  int64_t pixels, channels;
  const int64_t* lanes;
  int64_t step, at;
  uint32_t present;
  int count;  // 1 or 4
  const float* from[4];
  int64_t plane[4];
  float share;
  Finish finish = Finish::store;
  MomentSums* moments = nullptr;
  const GradientSums* gradients = nullptr;
  const float* x = nullptr;
  ChannelNorm norm = {};
};

struct WeightTileKernels {
  void (*multiply)(WeightTile, int outputs, const MultiplyJob&);
  void (*accumulate)(WeightTile, int outputs, const AccumulateJob&);  // only tiles that regions are cut into
  void (*bring)(const BringJob&, const float* tensor, float* planes);
  void (*return_)(const ReturnJob&, float* tensor);
};
constexpr int kQuad = 4;  // weights
extern const WeightTileKernels kWeightTilesAvx512, kWeightTilesAvx2, kWeightTilesBaseline;
const WeightTileKernels& weight_tile_kernels();  // the best that this machine runs

}  // namespace poise::cpu
