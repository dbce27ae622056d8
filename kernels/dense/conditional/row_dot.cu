// row_dot: one warp per row, whose sum is a balanced tree. scale_rows: one thread per element. With a few hundred rows,
// the cost is that of a launch.
#include "kernels/dense/conditional/row_dot.h"

#include "kernels/gpu/elementwise.cuh"
#include "kernels/gpu/reduce.cuh"

namespace poise::POISE_GPU {
namespace {

constexpr int kWarps = 4;  // rows per block

__global__ __launch_bounds__(kWarps* kWarp) void row_dot_kernel(int rows, int c, const float* a, const float* b,
                                                                float* y) {
  const int row = static_cast<int>(blockIdx.x) * kWarps + warp_id();
  if (row >= rows) return;  // the whole warp
  float sum = 0;
  for (int i = lane_id(); i < c; i += kWarp) sum += a[int64_t{row} * c + i] * b[int64_t{row} * c + i];
  sum = warp_sum(sum);
  if (lane_id() == 0) y[row] = sum;
}

__global__ void scale_rows_kernel(int64_t n, int64_t c, const float* scale, const float* x, float* y) {
  for_each_element(n, [&](int64_t i) { y[i] = scale[i / c] * x[i]; });
}

}  // namespace

void row_dot(Context& ctx, const Tensor& a, const Tensor& b, Tensor& y) {
  const auto rows = static_cast<int>(a.shape[0]), c = static_cast<int>(a.shape[1]);
  launch(ctx, {.grid = static_cast<uint32_t>(ceil_div(rows, kWarps)), .block = kWarps * kWarp}, row_dot_kernel, rows, c,
         a.data<float>(), b.data<float>(), y.data<float>());
}

void scale_rows(Context& ctx, const Tensor& scale, const Tensor& x, Tensor& y) {
  launch(ctx, elementwise(x.elements()), scale_rows_kernel, x.elements(), x.shape[1], scale.data<float>(),
         x.data<float>(), y.data<float>());
}

}  // namespace poise::POISE_GPU
