// The two kernels of block-sparse convolution, named by what is dense and what is sparse (result, then operands).
//
//   DsdGemm   to[pixel, key] = bias[key] + sum over the key's terms of from[pixel moved, block] * weights
//   SddGemm   partial[item, part, term] = sum over pixels of dy[pixel, block] x[pixel moved, block]^T, and by blocks of
//             its own the first pass of the bias's gradient
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
  bool repeat;        // the target's pixels of all four parities are the same
  // After the bias: + what is there; zero where what is there, the output of a ReLU, is not positive; no less than 0.
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

// Pixels of a tile.
constexpr int kLogDsdPixels = 7, kLogSddPixels = 6;

// What multiplies (kernels/gpu/tile_gemm.cuh). Compiled in one .cu file each: block_bf16.cu, block_tf32.cu, block_fp32.cu.
template <class Math>
void launch_dsd_gemm(Context& ctx, const DsdGemm& m);
template <class Math>
void launch_sdd_gemm(Context& ctx, const SddGemm& o);

// Warps of a block of `DsdGemm`, the blocks of weights in flight or in use in each, and the bytes of shared memory
// that these, the places of pixels and a tile of the source take together: two blocks fit on a multiprocessor.
constexpr int kDsdWarps = 8, kWeightStages = 4, kDsdPlacesBytes = (1 << kLogDsdPixels) * 4;
constexpr int kDsdSharedBytes = 112 << 10;
static_assert(2 * kDsdSharedBytes <= kMaxSharedBytes);

}  // namespace poise::POISE_GPU
