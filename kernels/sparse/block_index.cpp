#include "kernels/sparse/block_index.h"

#include <vector>

namespace poise::cpu {
namespace {

int64_t count_parity_blocks(const BlockIndex& index, int64_t first, int64_t last) {
  std::vector<unsigned> taps(static_cast<size_t>(index.in_blocks));
  for (int64_t k = first; k < last; ++k) {
    const int64_t col = index.col_of_block.data<int32_t>()[k];
    taps[static_cast<size_t>(col % index.in_blocks)] |= 1u << (col / index.in_blocks);
  }
  int64_t count = 0;
  for (int position = 0; position < 16; ++position) {
    const unsigned wanted = parity_taps(position >> 3, position >> 2 & 1, position >> 1 & 1, position & 1);
    for (unsigned alive : taps) count += (alive & wanted) != 0;
  }
  return count;
}

}  // namespace

void build_block_index(Context&, const Tensor& mask, BlockIndex& index) {
  const int64_t b = index.block;
  const uint8_t* alive = mask.data<uint8_t>();
  int32_t* row_offsets = index.row_offsets.data<int32_t>();
  int32_t* col_of_block = index.col_of_block.data<int32_t>();
  const int64_t row_stride = index.columns() * b;  // weights of one output channel
  int32_t count = 0;
  index.alive_in_parities = 0;
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
    if (index.taps == 9) index.alive_in_parities += count_parity_blocks(index, row_offsets[row], count);
  }
  row_offsets[index.out_blocks] = count;
  index.alive = count;
}

}  // namespace poise::cpu
