// The linear layer on the GPU: either a 1x1 convolution of one-pixel images, computed by conv2d.cu's tiles, or the
// vendor's matrix product (kernels/gpu/blas.h).
#include "kernels/dense/linear/linear.h"

#include "kernels/core/workspace_layout.h"
#include "kernels/gpu/blas.h"
#include "kernels/gpu/column_sums.h"
#include "kernels/gpu/table.h"

namespace poise::POISE_GPU {
namespace {

// The library uses instructions of the newest devices that our tiles do not; the tiles need no second launch for the
// bias. So the library computes the products that are long enough for the instructions to matter: 2^31 multiply-adds
// take about 5 microseconds at the rate of a large bf16 product. Not yet measured on a GPU.
constexpr double kBlasMacs = 2147483648.0;

bool uses_blas(const Context& ctx, const LinearGeometry& g) {
  if (ctx.gemm.linear != LinearMethod::by_shape) return ctx.gemm.linear == LinearMethod::blas;
  return static_cast<double>(g.n) * static_cast<double>(g.in) * static_cast<double>(g.out) >= kBlasMacs;
}

// A product with only a handful of outputs per row, such as a logit, is bound by bytes, not arithmetic, so f32 operands
// keep all their digits there, regardless of the precision.
Context context_of(const Context& ctx, const LinearGeometry& g) {
  constexpr int64_t kHandful = 8;
  Context own = ctx;
  if (g.out < kHandful && own.precision == Precision::tf32) own.precision = Precision::fp32;
  return own;
}

Conv2dGeometry as_convolution(const LinearGeometry& g) {
  return {.n = g.n, .h = 1, .w = 1, .c_in = g.in, .c_out = g.out};
}

// The workspace of the weight gradient when the library computes it.
struct BlasWorkspace {
  char* gemm;
  float* bias_partial;
  size_t bytes;
  BlasWorkspace(const Context& ctx, const LinearGeometry& g, void* base) {
    WorkspaceLayout layout(base);
    gemm = layout.carve<char>(blas::workspace_bytes(ctx));
    bias_partial = layout.carve<float>(static_cast<size_t>(column_sum_ranges(g.n) * g.out));
    bytes = layout.bytes();
  }
};

}  // namespace

size_t linear_plan(const Context& context, const LinearGeometry& g, DType dtype, Pass pass) {
  const Context ctx = context_of(context, g);
  if (!uses_blas(ctx, g)) return conv2d_plan(ctx, as_convolution(g), dtype, pass).workspace_bytes;
  return pass == Pass::backward_weight ? BlasWorkspace(ctx, g, nullptr).bytes : blas::workspace_bytes(ctx);
}

void linear_forward(Context& context, const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& workspace,
                    Tensor& y) {
  const LinearGeometry g{.n = x.shape[0], .in = x.shape[1], .out = y.shape[1]};
  Context ctx = context_of(context, g);
  if (!uses_blas(ctx, g)) return conv2d_forward(ctx, as_convolution(g), x, weight, bias, {}, workspace, y);
  blas::gemm(ctx, {.m = g.n, .n = g.out, .k = g.in, .transpose_b = true}, x, weight, workspace, y);
  if (bias) add_bias(ctx, bias, y);
}

void linear_backward_input(Context& context, const Tensor& dy, const Tensor& weight, Tensor& workspace, Tensor& dx) {
  const LinearGeometry g{.n = dx.shape[0], .in = dx.shape[1], .out = dy.shape[1]};
  Context ctx = context_of(context, g);
  if (!uses_blas(ctx, g)) return conv2d_backward_input(ctx, as_convolution(g), dy, weight, {}, workspace, dx);
  blas::gemm(ctx, {.m = g.n, .n = g.in, .k = g.out}, dy, weight, workspace, dx);
}

void linear_backward_weight(Context& context, const Tensor& x, const Tensor& dy, Tensor& workspace, Tensor& dweight,
                            Tensor& dbias) {
  const LinearGeometry g{.n = x.shape[0], .in = x.shape[1], .out = dy.shape[1]};
  Context ctx = context_of(context, g);
  if (!uses_blas(ctx, g)) return conv2d_backward_weight(ctx, as_convolution(g), x, dy, workspace, dweight, dbias);
  const BlasWorkspace own(ctx, g, workspace.bytes);
  blas::gemm(ctx, {.m = g.out, .n = g.in, .k = g.n, .transpose_a = true}, dy, x, workspace, dweight);
  if (dbias) column_sums(ctx, dy, own.bias_partial, dbias.data<float>());
}

}  // namespace poise::POISE_GPU
