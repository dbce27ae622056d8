// Which blocks of a weight are alive, as sparse execution reads it. A weight [C_out,kh,kw,C_in] or [out,in] is a matrix
// of out/b rows of blocks by taps*in/b columns; column = tap * (in/b) + input block. A block is alive if any of its
// weights is. Rebuilt when a mask changes, in memory of fixed capacity, so that captured graphs stay valid.
#pragma once
#include <vector>

#include "kernels/core/context.h"
#include "kernels/sparse/block/block_size.h"

namespace poise {

struct BlockIndex {
  int64_t block = kSparseBlock;  // b: output channels and input channels of a block
  int64_t out_blocks = 0, in_blocks = 0, taps = 1;
  int64_t alive = 0;  // blocks; known to the host, because a mask update counts
  // Blocks of the four 2x2 convolutions that a 3x3 convolution of an enlarged image becomes (dense/conv2d/
  // upsample_fold.h); 0 for others.
  int64_t alive_in_parities = 0;
  Tensor row_offsets;   // i32 [out_blocks + 1]: the blocks of row r are row_offsets[r] .. row_offsets[r+1]-1, by column
  Tensor col_of_block;  // i32 [capacity]
  // The same blocks by input block, for products with the transpose; empty where it is not needed. The blocks
  // of input block i are in_offsets[i] .. in_offsets[i+1]-1, each tap * out_blocks + output block, rising.
  Tensor in_offsets;    // i32 [in_blocks + 1]
  Tensor out_of_block;  // i32 [capacity]

  int64_t columns() const { return taps * in_blocks; }
  int64_t capacity() const { return out_blocks * columns(); }
  double density() const { return static_cast<double>(alive) / static_cast<double>(capacity()); }
};

// BlockIndex::alive_in_parities, of lists on the host.
int64_t blocks_in_parities(const BlockIndex& index, const int32_t* row_offsets, const int32_t* col_of_block);

// What in_offsets and out_of_block hold, of lists on the host.
struct TransposedBlocks {
  std::vector<int32_t> in_offsets, out_of_block;
};
TransposedBlocks transposed_blocks(const BlockIndex& index, const int32_t* row_offsets, const int32_t* col_of_block);

// Fills `index` (its tensors have the capacity of the weight) from mask (mask.h), u8 of the weight's shape but for the
// last extent, which is taken by runs that divide a block. Waits for the device.
using BuildBlockIndex = void(Context&, const Tensor& mask, BlockIndex& index);

}  // namespace poise
