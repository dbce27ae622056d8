// The loops on pairs of bf16 (block_tiles.h) with AVX-512's bf16 instructions. Includes nothing with code in it, for
// the reason given in block_tiles_body.h.
#include <immintrin.h>

#include "kernels/sparse/block/block_tiles.h"

namespace poise::cpu {
namespace {

constexpr int kPair = 2 * kBlock;  // elements per register

inline __m512bh load(const uint16_t* from) { return (__m512bh)_mm512_loadu_si512(from); }
inline __m512bh broadcast(const uint16_t* pair) {
  int bits;
  __builtin_memcpy(&bits, pair, sizeof bits);
  return (__m512bh)_mm512_set1_epi32(bits);
}

template <TileShape kShape>
struct Tile {
  static constexpr int kColumns = tile_columns(kShape), kRow = packed_row(kColumns);

  static inline void multiply(const BlockTerm* terms, int64_t count, const uint16_t* x, const uint16_t* w,
                              const float* bias, float* const* out, int64_t channel) {
    __m512 sum[kTilePixels];
    const __m512 start = bias ? _mm512_loadu_ps(bias) : _mm512_setzero_ps();
#pragma GCC unroll 16
    for (int k = 0; k < kTilePixels; ++k) sum[k] = start;
    for (const BlockTerm* term = terms; term != terms + count; ++term) {
      const uint16_t* xt = x + term->x;
      const uint16_t* wt = w + term->w;
#pragma GCC unroll 2
      for (int i = 0; i < kBlock; i += 2) {
        const __m512bh wi = load(wt + i * kBlock);
#pragma GCC unroll 16
        for (int k = 0; k < kTilePixels; ++k) {
          sum[k] = _mm512_dpbf16_ps(sum[k], wi, broadcast(xt + k / kColumns * kRow + k % kColumns * kBlock + i));
        }
      }
    }
#pragma GCC unroll 16
    for (int k = 0; k < kTilePixels; ++k) {
      if (out[k]) _mm512_storeu_ps(out[k] + channel, sum[k]);
    }
  }

  static inline void accumulate(int rows, const uint16_t* x, const uint16_t* dy, float* dw) {
    __m512 sum[kBlock];
#pragma GCC unroll 16
    for (int o = 0; o < kBlock; ++o) sum[o] = _mm512_loadu_ps(dw + o * kBlock);
    for (int r = 0; r < rows; ++r, x += 2 * kRow) {
      for (int c = 0; c < kColumns; c += 2, dy += kPair) {
        const __m512bh xi = load(x + c * kPair);
#pragma GCC unroll 16
        for (int o = 0; o < kBlock; ++o) sum[o] = _mm512_dpbf16_ps(sum[o], xi, broadcast(dy + 2 * o));
      }
    }
#pragma GCC unroll 16
    for (int o = 0; o < kBlock; ++o) _mm512_storeu_ps(dw + o * kBlock, sum[o]);
  }
};

void multiply(TileShape shape, const BlockTerm* terms, int64_t count, const uint16_t* x, const uint16_t* w,
              const float* bias, float* const* out, int64_t channel) {
  switch (shape) {
    case TileShape::row_16:
      return Tile<TileShape::row_16>::multiply(terms, count, x, w, bias, out, channel);
    case TileShape::rows_2x8:
      return Tile<TileShape::rows_2x8>::multiply(terms, count, x, w, bias, out, channel);
    case TileShape::rows_4x4:
      return Tile<TileShape::rows_4x4>::multiply(terms, count, x, w, bias, out, channel);
  }
}

void accumulate(TileShape shape, int rows, const uint16_t* x, const uint16_t* dy, float* dw) {
  switch (shape) {
    case TileShape::row_16:
      return Tile<TileShape::row_16>::accumulate(rows, x, dy, dw);
    case TileShape::rows_2x8:
      return Tile<TileShape::rows_2x8>::accumulate(rows, x, dy, dw);
    case TileShape::rows_4x4:
      return Tile<TileShape::rows_4x4>::accumulate(rows, x, dy, dw);
  }
}

}  // namespace

const PairKernels kPairsAvx512Bf16 = {multiply, accumulate};

}  // namespace poise::cpu
