#include "kernels/sparse/block_index.h"

#include <algorithm>
#include <vector>

namespace poise {

int64_t blocks_in_parities(const BlockIndex& index, const int32_t* row_offsets, const int32_t* col_of_block) {
  if (index.taps != 9) return 0;
  std::vector<unsigned> taps(static_cast<size_t>(index.in_blocks));
  int64_t count = 0;
  for (int64_t row = 0; row < index.out_blocks; ++row) {
    std::fill(taps.begin(), taps.end(), 0u);
    for (int32_t k = row_offsets[row]; k < row_offsets[row + 1]; ++k) {
      const int32_t col = col_of_block[k];
      taps[static_cast<size_t>(col % index.in_blocks)] |= 1u << (col / index.in_blocks);
    }
    for (int position = 0; position < 16; ++position) {
      const unsigned wanted = parity_taps(position >> 3, position >> 2 & 1, position >> 1 & 1, position & 1);
      for (unsigned alive : taps) count += (alive & wanted) != 0;
    }
  }
  return count;
}

namespace cpu {

void build_block_index(Context&, const Tensor& mask, BlockIndex& index) {
  const int64_t b = index.block;
  const uint8_t* alive = mask.data<uint8_t>();
  int32_t* row_offsets = index.row_offsets.data<int32_t>();
  int32_t* col_of_block = index.col_of_block.data<int32_t>();
  const int64_t row_stride = index.columns() * b;  // weights of one output channel
  int32_t count = 0;
  for (int64_t row = 0; row < index.out_blocks; ++row) {
    row_offsets[row] = count;
    for (int64_t col = 0; col < index.columns(); ++col) {
      bool any = false;
      for (int64_t o = 0; o < b && !any; ++o) {
        const uint8_t* cell = alive + (row * b + o) * row_stride + col * b;
        for (int64_t i = 0; i < b; ++i) any |= cell[i] != 0;
      }
      if (any) col_of_block[count++] = static_cast<int32_t>(col);
    }
  }
  row_offsets[index.out_blocks] = count;
  index.alive = count;
  index.alive_in_parities = blocks_in_parities(index, row_offsets, col_of_block);
}

}  // namespace cpu
}  // namespace poise
