// Products with block-sparse matrices by the vendor's library, in the block format of block-sparse layers. They are the
// baseline for our own kernels, and a choice of Execution. On CUDA cuSPARSE, on the emulated device plain loops in the
// stream. f32, or bf16 with f32 accumulation.
#pragma once
#include "kernels/core/context.h"

namespace poise::gpu {

// Block compressed rows: row r of blocks has the blocks row_offsets[r] .. row_offsets[r+1]-1. Block i is in column
// columns[i] of blocks and has the values [block, block] (rows contiguous). rows and cols are multiples of block.
struct BlockSparse {
  int64_t rows = 0, cols = 0, block = 1;
  Tensor row_offsets;  // i32 [rows / block + 1]
  Tensor columns;      // i32 [blocks], ascending in each row
  Tensor values;       // [blocks, block, block]
};

// Dense operands have contiguous rows, as activations [pixels, channels] do.
struct SparseProducts {
  // dsd:  c [n,rows] = b a^T,   b [n,cols].
  size_t (*spmm_workspace)(Context&, const BlockSparse& a, const Tensor& b, const Tensor& c);
  void (*spmm)(Context&, const BlockSparse& a, const Tensor& b, Tensor& workspace, Tensor& c);
  // sdd:  a.values = the entries of x^T y at a's blocks, plus the previous values if `add`.   x [n,rows], y [n,cols];
  // values are f32 or of the type of x.
  size_t (*sddmm_workspace)(Context&, const Tensor& x, const Tensor& y, const BlockSparse& a);
  void (*sddmm)(Context&, const Tensor& x, const Tensor& y, bool add, Tensor& workspace, BlockSparse& a);
  // Workspaces depend on shapes and types only: they can be queried with tensors without memory.
};

// The products of a device (not the CPU). Throws Error(environment) if this build has none for it.
const SparseProducts& sparse_products(Device device);

}  // namespace poise::gpu

namespace poise::cuda {
const gpu::SparseProducts& sparse_products();
}
namespace poise::emulator {
const gpu::SparseProducts& sparse_products();
}
