// See block_tiles.h. Includes no header with ordinary inline functions: this file is compiled with more instructions
// than the baseline, and the linker might keep that copy of such a function for machines that lack them.
#include "kernels/sparse/block/block_tiles.h"

namespace poise::cpu {
namespace {

// kVector: floats per register. kPixels: pixels per pass over the terms, with kPixels * 16 / kVector registers of sums.
template <int kVector, int kPixels, TileShape kShape>
struct Tile {
  typedef float V __attribute__((vector_size(kVector * 4), aligned(4), may_alias));
  static constexpr int kColumns = tile_columns(kShape), kRow = packed_row(kColumns), kPerPixel = kBlock / kVector;

  template <int kFirst>
  static inline void multiply(const BlockTerm* terms, int64_t count, const float* x, const float* w, const float* bias,
                              Finish finish, float* const* out, int64_t channel) {
    V sum[kPixels][kPerPixel];
    for (int v = 0; v < kPerPixel; ++v) {
      const V start = bias ? *reinterpret_cast<const V*>(bias + v * kVector) : V{};
      for (int k = 0; k < kPixels; ++k) sum[k][v] = start;
    }
    for (const BlockTerm* term = terms; term != terms + count; ++term) {
      const float* xt = x + term->x;
      const float* wt = w + term->w;
#pragma GCC unroll 4
      for (int i = 0; i < kBlock; ++i) {
        V wi[kPerPixel];
        for (int v = 0; v < kPerPixel; ++v) wi[v] = *reinterpret_cast<const V*>(wt + i * kBlock + v * kVector);
#pragma GCC unroll 16
        for (int k = 0; k < kPixels; ++k) {
          const int pixel = kFirst + k;
          const float xk = xt[pixel / kColumns * kRow + pixel % kColumns * kBlock + i];
          for (int v = 0; v < kPerPixel; ++v) sum[k][v] += xk * wi[v];
        }
      }
    }
    dispatch_finish(
        finish, [&]<Finish kFinish>() __attribute__((always_inline)) {
#pragma GCC unroll 16
          for (int k = 0; k < kPixels; ++k) {
            float* to = out[kFirst + k];
            if (!to) continue;
            for (int v = 0; v < kPerPixel; ++v) {
              V& place = *reinterpret_cast<V*>(to + channel + v * kVector);
              place = finished<kFinish>(sum[k][v], place);
            }
          }
        });
    if constexpr (kFirst + kPixels < kTilePixels) {
      multiply<kFirst + kPixels>(terms, count, x, w, bias, finish, out, channel);
    }
  }

  // kPixels output channels at a time.
  static inline void accumulate(int rows, const float* x, const float* dy, float* dw) {
    for (int first = 0; first < kBlock; first += kPixels) {
      V sum[kPixels][kPerPixel];
      for (int o = 0; o < kPixels; ++o) {
        for (int v = 0; v < kPerPixel; ++v) {
          sum[o][v] = *reinterpret_cast<const V*>(dw + (first + o) * kBlock + v * kVector);
        }
      }
      const float* xr = x;
      const float* d = dy + first;
      for (int r = 0; r < rows; ++r, xr += kRow) {
#pragma GCC unroll 2
        for (int c = 0; c < kColumns; ++c, d += kBlock) {
          V xi[kPerPixel];
          for (int v = 0; v < kPerPixel; ++v) xi[v] = *reinterpret_cast<const V*>(xr + c * kBlock + v * kVector);
#pragma GCC unroll 16
          for (int o = 0; o < kPixels; ++o) {
            for (int v = 0; v < kPerPixel; ++v) sum[o][v] += d[o] * xi[v];
          }
        }
      }
      for (int o = 0; o < kPixels; ++o) {
        for (int v = 0; v < kPerPixel; ++v) {
          *reinterpret_cast<V*>(dw + (first + o) * kBlock + v * kVector) = sum[o][v];
        }
      }
    }
  }
};

template <int kVector, int kPixels>
void multiply_tile(TileShape shape, const BlockTerm* terms, int64_t count, const float* x, const float* w,
                   const float* bias, Finish finish, float* const* out, int64_t channel) {
  switch (shape) {
    case TileShape::row_16:
      return Tile<kVector, kPixels, TileShape::row_16>::template multiply<0>(terms, count, x, w, bias, finish, out,
                                                                             channel);
    case TileShape::rows_2x8:
      return Tile<kVector, kPixels, TileShape::rows_2x8>::template multiply<0>(terms, count, x, w, bias, finish, out,
                                                                               channel);
    case TileShape::rows_4x4:
      return Tile<kVector, kPixels, TileShape::rows_4x4>::template multiply<0>(terms, count, x, w, bias, finish, out,
                                                                               channel);
  }
}

template <int kVector, int kPixels>
void accumulate_block(TileShape shape, int rows, const float* x, const float* dy, float* dw) {
  switch (shape) {
    case TileShape::row_16:
      return Tile<kVector, kPixels, TileShape::row_16>::accumulate(rows, x, dy, dw);
    case TileShape::rows_2x8:
      return Tile<kVector, kPixels, TileShape::rows_2x8>::accumulate(rows, x, dy, dw);
    case TileShape::rows_4x4:
      return Tile<kVector, kPixels, TileShape::rows_4x4>::accumulate(rows, x, dy, dw);
  }
}

}  // namespace
}  // namespace poise::cpu
