// The linear layer with oneDNN's sgemm, for bf16 on f32 copies: its matrices are small compared with convolutions.
//
// sgemm chooses its order of summation by its number of threads, so it gets one: we cut the output into fixed tiles,
// each of them a task. The summed dimension is never cut.
#include <oneapi/dnnl/dnnl.h>

#include <atomic>

#include "kernels/core/integer.h"
#include "kernels/core/onednn_threads.h"
#include "kernels/core/parallel.h"
#include "kernels/core/widened.h"
#include "kernels/dense/linear/linear.h"
#include "kernels/table.h"

namespace poise::cpu {
namespace {

constexpr int64_t kTileRows = 128, kTileColumns = 256;

// prepare(row, column, rows, columns) may fill the tile of c before the product is added to it (beta 1) or replaces it.
template <class Prepare>
void gemm(char transpose_a, char transpose_b, int64_t m, int64_t n, int64_t k, const float* a, int64_t lda,
          const float* b, int64_t ldb, float beta, float* c, const Prepare& prepare) {
  const int64_t row_tiles = ceil_div(m, kTileRows), column_tiles = ceil_div(n, kTileColumns);
  const int64_t tiles = row_tiles * column_tiles;
  std::atomic<bool> failed = false;
  parallel_for(tiles, [&](int64_t tile) {
    use_one_onednn_thread();
    const int64_t row = tile / column_tiles * kTileRows, column = tile % column_tiles * kTileColumns;
    const int64_t rows = std::min(kTileRows, m - row), columns = std::min(kTileColumns, n - column);
    prepare(row, column, rows, columns);
    const dnnl_status_t status =
        dnnl_sgemm(transpose_a, transpose_b, rows, columns, k, 1.0f, a + (transpose_a == 'N' ? row * lda : row), lda,
                   b + (transpose_b == 'N' ? column : column * ldb), ldb, beta, c + row * n + column, n);
    if (status != dnnl_success) failed = true;
  });
  if (failed) fail(ErrorKind::runtime, "oneDNN's sgemm failed (out of memory?)");
}

void nothing(int64_t, int64_t, int64_t, int64_t) {}

}  // namespace

void linear_forward_onednn(Context& ctx, const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& workspace,
                           Tensor& y) {
  if (x.dtype == DType::f64) return linear_forward(ctx, x, weight, bias, workspace, y);
  if (x.dtype == DType::bf16) {
    Widened wide(ctx, workspace);
    const Tensor wide_x = wide.in(x), wide_weight = wide.in(weight);
    Tensor wide_y = wide.out(y), rest = wide.rest();
    linear_forward_onednn(ctx, wide_x, wide_weight, bias, rest, wide_y);
    return wide.finish();
  }
  const int64_t n = x.shape[0], in = x.shape[1], out = weight.shape[0];
  const float* biases = bias ? bias.data<float>() : nullptr;
  float* outputs = y.data<float>();
  gemm('N', 'T', n, out, in, x.data<float>(), in, weight.data<float>(), in, biases ? 1.0f : 0.0f, outputs,
       [=](int64_t row, int64_t column, int64_t rows, int64_t columns) {
         if (!biases) return;
         for (int64_t i = row; i < row + rows; ++i) {
           std::copy_n(biases + column, columns, outputs + i * out + column);
         }
       });
}

void linear_backward_input_onednn(Context& ctx, const Tensor& dy, const Tensor& weight, Tensor& workspace, Tensor& dx) {
  if (dy.dtype == DType::f64) return linear_backward_input(ctx, dy, weight, workspace, dx);
  if (dy.dtype == DType::bf16) {
    Widened wide(ctx, workspace);
    const Tensor wide_dy = wide.in(dy), wide_weight = wide.in(weight);
    Tensor wide_dx = wide.out(dx), rest = wide.rest();
    linear_backward_input_onednn(ctx, wide_dy, wide_weight, rest, wide_dx);
    return wide.finish();
  }
  const int64_t n = dy.shape[0], out = weight.shape[0], in = weight.shape[1];
  gemm('N', 'N', n, in, out, dy.data<float>(), out, weight.data<float>(), in, 0.0f, dx.data<float>(), nothing);
}

void linear_backward_weight_onednn(Context& ctx, const Tensor& x, const Tensor& dy, Tensor& workspace, Tensor& dweight,
                                   Tensor& dbias) {
  if (x.dtype == DType::f64) return linear_backward_weight(ctx, x, dy, workspace, dweight, dbias);
  if (x.dtype == DType::bf16) {
    Widened wide(ctx, workspace);
    const Tensor wide_x = wide.in(x), wide_dy = wide.in(dy);
    Tensor rest = wide.rest();
    return linear_backward_weight_onednn(ctx, wide_x, wide_dy, rest, dweight, dbias);
  }
  const int64_t n = x.shape[0], in = x.shape[1], out = dy.shape[1];
  const float* grad_out = dy.data<float>();
  gemm('T', 'N', out, in, n, grad_out, out, x.data<float>(), in, 0.0f, dweight.data<float>(), nothing);
  if (!dbias) return;
  float* grad_bias = dbias.data<float>();
  parallel_chunks(out, kTileColumns, [=](int64_t begin, int64_t end) {
    double sum[kTileColumns] = {};
    for (int64_t row = 0; row < n; ++row) {
      for (int64_t o = begin; o < end; ++o) sum[o - begin] += static_cast<double>(grad_out[row * out + o]);
    }
    for (int64_t o = begin; o < end; ++o) grad_bias[o] = static_cast<float>(sum[o - begin]);
  });
}

}  // namespace poise::cpu
