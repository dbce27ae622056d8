// The two kernels of block-sparse convolution, named by what is dense and what is sparse (result, then operands).
//
//   DsdGemm   to[pixel, key] = bias[key] + sum over the key's terms of from[shifted pixel, block] * weights
//   SddGemm   partial[item, part, term] = sum over pixels of dy[pixel, block] x[shifted pixel, block]^T; extra thread
//             blocks do the first pass of the bias's gradient
#pragma once
#include "kernels/gpu/column_sums.h"
#include "kernels/gpu/device_limits.h"
#include "kernels/sparse/block/block_lists.h"

namespace poise::POISE_GPU {

struct DsdGemm {
  ImageView from, to;
  PixelTiles tiles;
  Frame frame;  // of `from`
  TermLists lists;
  int source_blocks, chunk_blocks;
  const float* bias;  // or null
  bool repeat;        // all four parities of a target pixel are the same
  // After the bias: add the stored value; zero where the stored value, the output of a ReLU, is not positive; ReLU.
  bool adds, masks, relu;
  int key_groups;  // thread blocks that share the keys of a tile
};

struct SddGemm {
  ImageView x, dy;
  PixelTiles tiles;
  Frame x_frame, dy_frame;
  WorkItems lists;
  PixelSplits splits;
  float* partial;
  ColumnSums bias;  // of dy
};

// log2 of the pixels of a tile.
constexpr int kLogDsdPixels = 7, kLogSddPixels = 6;

// Math: the arithmetic (kernels/gpu/tile_gemm.cuh), one .cu file for each: block_bf16.cu, block_tf32.cu, block_fp32.cu.
template <class Math>
void launch_dsd_gemm(Context& ctx, const DsdGemm& m);
template <class Math>
void launch_sdd_gemm(Context& ctx, const SddGemm& o);

// A thread block of `DsdGemm`: its warps, the blocks of weights in flight or in use in each, the bytes for the places
// of pixels, and the shared memory for these and a tile of the source: two thread blocks fit on a multiprocessor.
constexpr int kDsdWarps = 8, kWeightStages = 4, kDsdPlacesBytes = (1 << kLogDsdPixels) * 4;
constexpr int kDsdSharedBytes = 112 << 10;
static_assert(2 * kDsdSharedBytes <= kMaxSharedBytes);

}  // namespace poise::POISE_GPU
