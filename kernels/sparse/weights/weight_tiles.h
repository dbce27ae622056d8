// The inner loops of execution weight by weight on the CPU, compiled once per instruction set (weight_tiles_*.cpp).
//
// Sixteen images lie innermost: a plane of one channel is [rows][columns][16], so a vector register holds one pixel of
// several images, a filter tap is an offset, and an alive weight costs a load of x and a multiply-add per vector,
// whatever else is alive. A tile is a few neighbouring pixels whose sums stay in registers while the list of a row's
// alive weights goes by; one pass over the list thus serves all of them.
//
// Entries of a list are weights, or runs of 2 or 4 neighbouring outputs that are alive together.
#pragma once
#include <cstdint>

namespace poise::cpu {

constexpr int kImages = 16;  // of a group: 64 bytes

enum class WeightTile : uint8_t { rows_2x4, row_8, rows_2x2, row_4, row_2, pixel };
constexpr int kWeightTiles = 6;
constexpr int columns_of(WeightTile t) {
  constexpr int columns[] = {4, 8, 2, 4, 2, 1};
  return columns[static_cast<int>(t)];
}
constexpr int rows_of(WeightTile t) { return t == WeightTile::rows_2x4 || t == WeightTile::rows_2x2 ? 2 : 1; }
constexpr int pixels_of(WeightTile t) { return rows_of(t) * columns_of(t); }

// For rows r, outputs b of the entries, pixels k of the tile, images n:
//   sums[r][b][k][n] (+)= sum over entries e in begin[r]..begin[r+1]-1 of  values[e][b] * x[offsets[e] + pixel k + n]
struct MultiplyJob {
  const int32_t* begin;  // [rows + 1]
  int64_t rows;
  const int32_t* offsets;  // floats; numbered as begin says
  const float* values;     // [entries][B]
  const float* x;          // first pixel of the tile
  int64_t x_row;           // floats from one row of pixels to the next
  bool first;              // sums start from start[r][b], or from 0 where that is null; else from what is there
  const float* start;
  float* sums;  // [rows][B][pixels][16]
};

// The gradients of the same entries: for each, sum over pixels k, images n of  x[offsets[e] + pixel k + n] * dy[r][b][k][n],
// four weights at a time as they are listed (of a row with B outputs, 4/B entries), in quads of 16 floats of which
//   weight j = sum over m of quad[4 m + j],   m = 0..parts-1
// A row starts a new quad. What is there is added to.
struct AccumulateJob {
  const int32_t* begin;
  int64_t rows;
  const int32_t* offsets;
  const float* x;
  int64_t x_row;
  const float* dy;           // first pixel of the tile, first row
  int64_t dy_plane, dy_row;  // floats from one output to the next, and from one row of pixels to the next
  float* sums;               // the first row's first quad
};

// Sixteen images' values of `channels` neighbouring channels of one pixel, [image][channel] in memory, to and from
// [channel][image]. Images from `images` on read as zero and are not written. `add`: to what is there.
struct TransposeJob {
  int64_t channels, images;
  int64_t image_stride, plane;  // floats
};

struct WeightTileKernels {
  void (*multiply)(WeightTile, int outputs, const MultiplyJob&);
  void (*accumulate)(WeightTile, int outputs, const AccumulateJob&);
  void (*bring)(const TransposeJob&, const float* images, bool add, float* planes);
  void (*return_)(const TransposeJob&, const float* planes, float* images);
  int parts;  // of a quad
};
constexpr int kQuad = 16;  // floats
extern const WeightTileKernels kWeightTilesAvx512, kWeightTilesAvx2, kWeightTilesBaseline;
const WeightTileKernels& weight_tile_kernels();  // the best that this machine runs

}  // namespace poise::cpu
