#include "kernels/gpu/sparse.h"

#include <vector>

#include "kernels/core/error.h"
#include "kernels/gpu/emulated/stream.h"

namespace poise::emulator {
namespace {

size_t spmm_workspace(Context&, const gpu::BlockSparse&, const Tensor&, const Tensor&) { return 1; }
size_t sddmm_workspace(Context&, const Tensor&, const Tensor&, const gpu::BlockSparse&) { return 1; }

// f<float>() or f<bf16>(), in the stream.
template <class F>
void submit(Context& ctx, const Tensor& workspace, DType dtype, const F& f) {
  require(workspace.elements() > 0, "a workspace comes with the call");
  require(dtype == DType::f32 || dtype == DType::bf16, "block-sparse products are f32 or bf16");
  static_cast<Stream&>(*ctx.stream).submit([f, dtype] {
    dtype == DType::f32 ? f.template operator()<float>() : f.template operator()<bf16>();
  });
}

// visit(block number, first row, first column) for every block.
template <class Visit>
void for_each_block(const gpu::BlockSparse& a, const Visit& visit) {
  const auto *offsets = a.row_offsets.data<int32_t>(), *columns = a.columns.data<int32_t>();
  for (int64_t r = 0; r < a.rows / a.block; ++r) {
    for (int64_t i = offsets[r]; i < offsets[r + 1]; ++i) visit(i, r * a.block, columns[i] * a.block);
  }
}

void spmm(Context& ctx, const gpu::BlockSparse& a, const Tensor& b, Tensor& workspace, Tensor& c) {
  submit(ctx, workspace, a.values.dtype, [a, b, c]<class T>() {
    const int64_t n = b.shape[1], size = a.block;
    std::vector<float> sums(static_cast<size_t>(a.rows * n));
    for_each_block(a, [&](int64_t block, int64_t row, int64_t column) {
      const T* values = a.values.data<T>() + block * size * size;
      for (int64_t i = 0; i < size; ++i) {
        for (int64_t k = 0; k < size; ++k) {
          for (int64_t j = 0; j < n; ++j) {
            sums[static_cast<size_t>((row + i) * n + j)] +=
                to_float(values[i * size + k]) * to_float(b.data<T>()[(column + k) * n + j]);
          }
        }
      }
    });
    for (size_t i = 0; i < sums.size(); ++i) c.data<T>()[i] = from_float<T>(sums[i]);
  });
}

void sddmm(Context& ctx, const Tensor& x, const Tensor& y, Tensor& workspace, gpu::BlockSparse& a) {
  submit(ctx, workspace, a.values.dtype, [x, y, a]<class T>() {
    const int64_t n = x.shape[1], size = a.block;
    for_each_block(a, [&](int64_t block, int64_t row, int64_t column) {
      T* values = a.values.data<T>() + block * size * size;
      for (int64_t i = 0; i < size; ++i) {
        for (int64_t k = 0; k < size; ++k) {
          float sum = 0;
          for (int64_t j = 0; j < n; ++j) {
            sum += to_float(x.data<T>()[(row + i) * n + j]) * to_float(y.data<T>()[(column + k) * n + j]);
          }
          values[i * size + k] = from_float<T>(sum);
        }
      }
    });
  });
}

}  // namespace

const gpu::SparseProducts& sparse_products() {
  static constexpr gpu::SparseProducts table{spmm_workspace, spmm, sddmm_workspace, sddmm};
  return table;
}

}  // namespace poise::emulator
