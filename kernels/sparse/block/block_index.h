// Which blocks of a weight are alive, as sparse execution reads it. A weight [C_out,kh,kw,C_in] or [out,in] is a matrix
// of out/b rows of blocks by taps*in/b columns; column = tap * (in/b) + input block. A block is alive if any of its
// weights is. Rebuilt when a mask changes, in memory of fixed capacity, so that captured graphs stay valid.
#pragma once
#include <vector>

#include "kernels/core/context.h"

namespace poise {

struct BlockIndex {
  int64_t block = 16;  // b: output channels and input channels of a block
  int64_t out_blocks = 0, in_blocks = 0, taps = 1;
  int64_t alive = 0;  // blocks; known to the host, because a mask update counts
  // Blocks of the four 2x2 convolutions that a 3x3 convolution of an enlarged image becomes (conv2d.h); 0 for others.
  int64_t alive_in_parities = 0;
  Tensor row_offsets;   // i32 [out_blocks + 1]: the blocks of row r are row_offsets[r] .. row_offsets[r+1]-1, by column
  Tensor col_of_block;  // i32 [capacity]
  // The same blocks by input block, for products with the transpose; empty where nobody multiplies by that. The blocks
  // of input block i are in_offsets[i] .. in_offsets[i+1]-1, each tap * out_blocks + output block, rising.
  Tensor in_offsets;    // i32 [in_blocks + 1]
  Tensor out_of_block;  // i32 [capacity]

  int64_t columns() const { return taps * in_blocks; }
  int64_t capacity() const { return out_blocks * columns(); }
  double density() const { return static_cast<double>(alive) / static_cast<double>(capacity()); }
};

// One output parity of a 3x3 convolution of a twice enlarged image: in each direction two neighbouring pixels of the
// small image count, and the taps that meet the same one add up.
//   parity 0:  offset -1 with tap 0,        offset 0 with taps 1 and 2
//   parity 1:  offset  0 with taps 0 and 1, offset 1 with tap 2
struct ParityWindow {
  int offset;
  int first_tap, last_tap;
};
constexpr ParityWindow parity_window(int parity, int position) {
  if (parity == 0) return position == 0 ? ParityWindow{-1, 0, 0} : ParityWindow{0, 1, 2};
  return position == 0 ? ParityWindow{0, 0, 1} : ParityWindow{1, 2, 2};
}
// The taps (bit r*3+s) behind position (u,v) of parity (a,b).
constexpr unsigned parity_taps(int a, int b, int u, int v) {
  unsigned taps = 0;
  const ParityWindow rows = parity_window(a, u), columns = parity_window(b, v);
  for (int r = rows.first_tap; r <= rows.last_tap; ++r) {
    for (int s = columns.first_tap; s <= columns.last_tap; ++s) taps |= 1u << (r * 3 + s);
  }
  return taps;
}

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
