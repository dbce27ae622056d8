// The list of alive blocks of a layer. A thread block per row lists the columns of its row at the place that they have
// if all rows are full; one thread block then moves the rows together, in order. The host reads the list back, because
// it counts. Cost: the mask is read once, 37 KB for 256x3x3x256; two launches and two copies per layer, only after mask
// updates. Predicted below 0.1 ms per layer; not yet measured on a GPU.
#include "kernels/sparse/block/block_index.h"

#include <vector>

#include "kernels/core/memory.h"
#include "kernels/gpu/scan.cuh"

namespace poise::POISE_GPU {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;

// Row r: writes its columns from col_of_block[r * columns] on, and their number to row_offsets[r + 1].
__global__ __launch_bounds__(kThreads) void list_rows_kernel(int block, int bytes_of_row, int columns,
                                                             const uint8_t* mask, int32_t* row_offsets,
                                                             int32_t* col_of_block) {
  GPU_SHARED(shared, int[kWarps]);
  const auto row = static_cast<int64_t>(blockIdx.x);
  const int64_t stride = int64_t{columns} * bytes_of_row;  // of an output channel
  int count = 0;
  for (int first = 0; first < columns; first += kThreads) {
    const int column = first + static_cast<int>(threadIdx.x);
    int any = 0;
    if (column < columns) {
      const uint8_t* corner = mask + row * block * stride + int64_t{column} * bytes_of_row;
      for (int o = 0; o < block; ++o) {
        for (int i = 0; i < bytes_of_row; ++i) any |= corner[o * stride + i];
      }
    }
    int total;
    const int position = block_exclusive_sum(any != 0 ? 1 : 0, shared, total);
    if (any != 0) col_of_block[row * columns + count + position] = column;
    count += total;
  }
  if (threadIdx.x != 0) return;
  row_offsets[row + 1] = count;
  if (row == 0) row_offsets[0] = 0;
}

// One thread block. Rows move to the front: an overwritten entry has been read, or is an earlier row's.
__global__ __launch_bounds__(kThreads) void join_rows_kernel(int rows, int columns, int32_t* row_offsets,
                                                             int32_t* col_of_block) {
  int next = 0;
  for (int row = 0; row < rows; ++row) {
    const int count = row_offsets[row + 1];
    const int64_t from = int64_t{row} * columns;
    for (int first = 0; first < count; first += kThreads) {
      const int i = first + static_cast<int>(threadIdx.x);
      const int32_t column = i < count ? col_of_block[from + i] : 0;
      __syncthreads();
      if (i < count) col_of_block[next + i] = column;
      __syncthreads();
    }
    next += count;
    __syncthreads();  // all threads have read the count
    if (threadIdx.x == 0) row_offsets[row + 1] = next;
  }
}

}  // namespace

void build_block_index(Context& ctx, const Tensor& mask, BlockIndex& index) {
  const auto rows = static_cast<int>(index.out_blocks), columns = static_cast<int>(index.columns());
  auto* row_offsets = index.row_offsets.data<int32_t>();
  auto* col_of_block = index.col_of_block.data<int32_t>();
  launch(ctx, {.grid = static_cast<uint32_t>(rows), .block = kThreads}, list_rows_kernel, index.block,
         mask.shape.back() / index.in_blocks, columns, mask.data<uint8_t>(), row_offsets, col_of_block);
  launch(ctx, {.grid = 1, .block = kThreads}, join_rows_kernel, rows, columns, row_offsets, col_of_block);
  std::vector<int32_t> offsets(static_cast<size_t>(rows) + 1), list(static_cast<size_t>(index.capacity()));
  copy_to_host(offsets.data(), index.row_offsets);
  copy_to_host(list.data(), index.col_of_block);
  if (index.kept) index.kept->list_all(ctx);
  index.alive = offsets.back();
  index.alive_in_parities = blocks_in_parities(index, offsets.data(), list.data());
  if (!index.in_offsets) return;
  TransposedBlocks transposed = transposed_blocks(index, offsets.data(), list.data());
  transposed.out_of_block.resize(list.size());
  copy_from_host(index.in_offsets, transposed.in_offsets.data());
  copy_from_host(index.out_of_block, transposed.out_of_block.data());
}

}  // namespace poise::POISE_GPU
