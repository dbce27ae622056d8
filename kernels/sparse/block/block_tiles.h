// The two inner loops of block-sparse convolution on the CPU, compiled once per instruction set (block_tiles_*.cpp).
//
// Operands are packed so that every offset inside a loop is constant: images as [channel block][row][column][16],
// weights as blocks of 16 x 16. A tile is 16 output pixels (1x16, 2x8 or 4x4) by 16 output channels, whose sums fill 16
// AVX-512 registers: one multiply-add per pixel and input channel, the pixel broadcast from memory.
#pragma once
#include <cstdint>

#include "kernels/dense/conv2d/finish.h"
#include "kernels/sparse/block/block_size.h"

namespace poise::cpu {

constexpr int kBlock = kSparseBlock;            // channels on either side of a block
constexpr int kBlockWeights = kBlock * kBlock;  // elements of a block
constexpr int kTilePixels = 16;

enum class TileShape : uint8_t { row_16, rows_2x8, rows_4x4 };
constexpr int tile_columns(TileShape s) { return s == TileShape::row_16 ? 16 : s == TileShape::rows_2x8 ? 8 : 4; }
constexpr int tile_rows(TileShape s) { return kTilePixels / tile_columns(s); }
// Floats from one row of a packed image to the next: a tile's columns and one more on either side.
constexpr int packed_row(int columns) { return (columns + 2) * kBlock; }

// One block's term of a sum: offsets in floats, from the tile's first pixel and from the first block of weights.
struct BlockTerm {
  int32_t x, w;
};

// out[k][0..15] = bias + sum over terms t, input channels i of  x[t.x + pixel k + i] * w[t.w + 16 i + 0..15].
// bias may be null. Sums whose out[k] is null are not stored. `channel` is added to each out[k]. `finish`: of each sum.
using MultiplyTile = void(TileShape, const BlockTerm* terms, int64_t count, const float* x, const float* w,
                          const float* bias, Finish finish, float* const* out, int64_t channel);
// dw[o][0..15] += the sum of  dy[pixel][o] * x[pixel][0..15]  over `rows` rows of a region as wide as a tile. x points
// to the first pixel in a packed image; dy is [rows][columns][16].
using AccumulateBlock = void(TileShape, int rows, const float* x, const float* dy, float* dw);

struct TileKernels {
  MultiplyTile* multiply;
  AccumulateBlock* accumulate;
};
extern const TileKernels kTilesAvx512, kTilesAvx2, kTilesBaseline;
const TileKernels& tile_kernels();  // the best that this machine runs

// The same loops on bf16 (passed as bits) with f32 sums, which are stored unfinished. An instruction multiplies two
// pairs per lane and adds both products, so operands are pairs along the summed dimension: input channels for a tile,
// neighbouring pixels for a block.
//   x of a tile: as above;    w [8][16 outputs][2 inputs]
//   x of a block: [row][column][16][2], where a column's second half is the next column;    dy [rows][columns/2][16][2]
using MultiplyPairs = void(TileShape, const BlockTerm* terms, int64_t count, const uint16_t* x, const uint16_t* w,
                           const float* bias, float* const* out, int64_t channel);
using AccumulatePairs = void(TileShape, int rows, const uint16_t* x, const uint16_t* dy, float* dw);

struct PairKernels {
  MultiplyPairs* multiply;
  AccumulatePairs* accumulate;
};
extern const PairKernels kPairsAvx512Bf16;
const PairKernels* pair_kernels();  // null where this machine has no such instruction

}  // namespace poise::cpu
