// The two kernels of block-sparse convolution.
//
//   multiply   to[pixel, key] = bias[key] + sum over the key's terms of from[pixel moved, block] * weights    dsd
//   outer      partial[piece, part, term] = sum over pixels of dy[pixel, block] x[pixel moved, block]^T       sdd
#pragma once
#include "kernels/gpu/device_limits.h"
#include "kernels/sparse/block/block_lists.h"

namespace poise::POISE_GPU {

struct Multiply {
  ImageView from, to;
  PixelTiles tiles;
  Frame frame;  // of `from`
  TermLists lists;
  int source_blocks, chunk_blocks;
  const float* bias;  // or null
  bool repeat;        // the target's pixels of all four parities are the same
  int key_groups;     // thread blocks that share the keys of a tile
};

struct Outer {
  ImageView x, dy;
  PixelTiles tiles;
  Frame x_frame, dy_frame;
  PieceLists lists;
  PixelSplits splits;
  float* partial;
};

// Pixels of a tile.
constexpr int kLogMultiplyPixels = 7, kLogOuterPixels = 6;

// What multiplies (kernels/gpu/tile_gemm.cuh). Compiled in one .cu file each: block_bf16.cu, block_tf32.cu, block_fp32.cu.
template <class Math>
void launch_multiply(Context& ctx, const Multiply& m);
template <class Math>
void launch_outer(Context& ctx, const Outer& o);

// Warps of a block of `multiply`, the blocks of weights in flight or in use in each, and the bytes of shared memory
// that these and a tile of the source take together: two blocks fit on a multiprocessor.
constexpr int kMultiplyWarps = 8, kWeightStages = 4;
constexpr int kMultiplySharedBytes = 112 << 10;
static_assert(2 * kMultiplySharedBytes <= kMaxSharedBytes);

}  // namespace poise::POISE_GPU
