#include "kernels/gpu/sparse.h"

#include <algorithm>
#include <vector>

#include "kernels/core/error.h"
#include "kernels/gpu/emulated/stream.h"

namespace poise::emulator {
namespace {

size_t spmm_workspace(Context&, const gpu::BlockSparse&, const Tensor&, const Tensor&) { return 1; }
size_t sddmm_workspace(Context&, const Tensor&, const Tensor&, const gpu::BlockSparse&) { return 1; }

// Runs f in the stream, or now if there is none.
template <class F>
void submit(Context& ctx, const Tensor& workspace, const F& f) {
  require(workspace.elements() > 0, "the call needs a workspace");
  ctx.stream ? static_cast<Stream&>(*ctx.stream).submit(f) : f();
}

template <class F>
void dispatch_stored(DType dtype, const F& f) {
  require(dtype == DType::f32 || dtype == DType::bf16, "block-sparse products are f32 or bf16");
  dtype == DType::f32 ? f.template operator()<float>() : f.template operator()<bf16>();
}

// Calls visit(block number, first row, first column) for every block.
template <class Visit>
void for_each_block(const gpu::BlockSparse& a, const Visit& visit) {
  const auto *offsets = a.row_offsets.data<int32_t>(), *columns = a.columns.data<int32_t>();
  for (int64_t r = 0; r < a.rows / a.block; ++r) {
    for (int64_t i = offsets[r]; i < offsets[r + 1]; ++i) visit(i, r * a.block, columns[i] * a.block);
  }
}

template <class T>
void multiply(const gpu::BlockSparse& a, const Tensor& b, const Tensor& c) {
  const int64_t size = a.block;
  std::vector<float> sums(static_cast<size_t>(a.rows));
  for (int64_t p = 0; p < b.shape[0]; ++p) {
    const T* from = b.data<T>() + p * a.cols;
    std::fill(sums.begin(), sums.end(), 0.0f);
    for_each_block(a, [&](int64_t block, int64_t row, int64_t column) {
      const T* values = a.values.data<T>() + block * size * size;
      for (int64_t i = 0; i < size; ++i) {
        float& sum = sums[static_cast<size_t>(row + i)];
        for (int64_t k = 0; k < size; ++k) sum += to_float(values[i * size + k]) * to_float(from[column + k]);
      }
    });
    for (int64_t r = 0; r < a.rows; ++r) c.data<T>()[p * a.rows + r] = from_float<T>(sums[static_cast<size_t>(r)]);
  }
}

void spmm(Context& ctx, const gpu::BlockSparse& a, const Tensor& b, Tensor& workspace, Tensor& c) {
  submit(ctx, workspace, [a, b, c] { dispatch_stored(b.dtype, [&]<class T>() { multiply<T>(a, b, c); }); });
}

// T is the type of x and y, V that of the values.
template <class T, class V>
void sample(const Tensor& x, const Tensor& y, bool add, const gpu::BlockSparse& a) {
  const int64_t n = x.shape[0], size = a.block;
  for_each_block(a, [&](int64_t block, int64_t row, int64_t column) {
    std::vector<float> sums(static_cast<size_t>(size * size));
    for (int64_t p = 0; p < n; ++p) {
      const T *left = x.data<T>() + p * a.rows + row, *right = y.data<T>() + p * a.cols + column;
      for (int64_t e = 0; e < size * size; ++e) {
        sums[static_cast<size_t>(e)] += to_float(left[e / size]) * to_float(right[e % size]);
      }
    }
    V* values = a.values.data<V>() + block * size * size;
    for (int64_t e = 0; e < size * size; ++e) {
      const float sum = sums[static_cast<size_t>(e)];
      values[e] = from_float<V>(add ? to_float(values[e]) + sum : sum);
    }
  });
}

void sddmm(Context& ctx, const Tensor& x, const Tensor& y, bool add, Tensor& workspace, gpu::BlockSparse& a) {
  submit(ctx, workspace, [x, y, add, a] {
    dispatch_stored(x.dtype, [&]<class T>() {
      a.values.dtype == DType::f32 ? sample<T, float>(x, y, add, a) : sample<T, T>(x, y, add, a);
    });
  });
}

}  // namespace

const gpu::SparseProducts& sparse_products() {
  static constexpr gpu::SparseProducts table{spmm_workspace, spmm, sddmm_workspace, sddmm};
  return table;
}

}  // namespace poise::emulator
