#include "kernels/sparse/block/block_index.h"

#include <algorithm>
#include <vector>

#include "kernels/core/memory.h"
#include "kernels/dense/conv2d/upsample_fold.h"

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
    for (int position = 0; position < kFoldedPositions; ++position) {
      const unsigned wanted = folded_position(position).taps;
      for (unsigned alive : taps) count += (alive & wanted) != 0;
    }
  }
  return count;
}

TransposedBlocks transposed_blocks(const BlockIndex& index, const int32_t* row_offsets, const int32_t* col_of_block) {
  TransposedBlocks t;
  const int64_t alive = row_offsets[index.out_blocks];
  t.in_offsets.resize(static_cast<size_t>(index.in_blocks) + 1);
  t.out_of_block.resize(static_cast<size_t>(alive));
  const auto in_of = [&](int64_t k) { return static_cast<size_t>(col_of_block[k] % index.in_blocks); };
  for (int64_t k = 0; k < alive; ++k) ++t.in_offsets[in_of(k) + 1];
  for (size_t i = 0; i + 1 < t.in_offsets.size(); ++i) t.in_offsets[i + 1] += t.in_offsets[i];
  std::vector<int32_t> next(t.in_offsets.begin(), t.in_offsets.end() - 1);
  for (int32_t row = 0; row < index.out_blocks; ++row) {
    for (int32_t k = row_offsets[row]; k < row_offsets[row + 1]; ++k) {
      const auto tap = static_cast<int32_t>(col_of_block[k] / index.in_blocks);
      t.out_of_block[static_cast<size_t>(next[in_of(k)]++)] = tap * static_cast<int32_t>(index.out_blocks) + row;
    }
  }
  for (size_t i = 0; i + 1 < t.in_offsets.size(); ++i) {
    std::sort(t.out_of_block.begin() + t.in_offsets[i], t.out_of_block.begin() + t.in_offsets[i + 1]);
  }
  return t;
}

namespace cpu {

void build_block_index(Context&, const Tensor& mask, BlockIndex& index) {
  const int64_t b = index.block, bytes_of_row = mask.shape.back() / index.in_blocks;  // of a block
  const uint8_t* alive = mask.data<uint8_t>();
  int32_t* row_offsets = index.row_offsets.data<int32_t>();
  int32_t* col_of_block = index.col_of_block.data<int32_t>();
  const int64_t row_stride = index.columns() * bytes_of_row;  // of one output channel
  int32_t count = 0;
  for (int64_t row = 0; row < index.out_blocks; ++row) {
    row_offsets[row] = count;
    for (int64_t col = 0; col < index.columns(); ++col) {
      bool any = false;
      for (int64_t o = 0; o < b && !any; ++o) {
        const uint8_t* cell = alive + (row * b + o) * row_stride + col * bytes_of_row;
        for (int64_t i = 0; i < bytes_of_row; ++i) any |= cell[i] != 0;
      }
      if (any) col_of_block[count++] = static_cast<int32_t>(col);
    }
  }
  row_offsets[index.out_blocks] = count;
  index.alive = count;
  index.alive_in_parities = blocks_in_parities(index, row_offsets, col_of_block);
  if (!index.in_offsets) return;
  const TransposedBlocks transposed = transposed_blocks(index, row_offsets, col_of_block);
  std::copy(transposed.in_offsets.begin(), transposed.in_offsets.end(), index.in_offsets.data<int32_t>());
  std::copy(transposed.out_of_block.begin(), transposed.out_of_block.end(), index.out_of_block.data<int32_t>());
}

}  // namespace cpu
}  // namespace poise
