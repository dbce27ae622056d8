// Transposed convolution: the input gradient of the convolution in the other direction, computed by its kernels.
#include "engine/ops/layer_weight.h"
#include "engine/ops/ops.h"

namespace poise {
namespace {

// The convolution whose output is x and whose input is y.
Conv2dGeometry other_way(Var x, Var weight, const Conv2dOptions& o) {
  const Shape xs = x.shape(), ws = weight.shape();
  check(*x.tape, xs.rank() == 4 && ws.rank() == 4 && xs[3] == ws[0] && ws[1] == o.kh && ws[2] == o.kw, [&] {
    return "conv_transpose2d expects input [N,H,W,C_in] and a weight [C_in," + std::to_string(o.kh) + "," +
           std::to_string(o.kw) + ",C_out] but got " + xs.to_string() + " and " + ws.to_string();
  });
  check(*x.tape, o.upsample == 1, [&] { return "conv_transpose2d expects upsample 1; enlarge with a stride"; });
  Conv2dOptions forward = o;
  forward.relu = false;
  return forward.geometry(
      {xs[0], (xs[1] - 1) * o.stride_h - 2 * o.pad_h + o.kh, (xs[2] - 1) * o.stride_w - 2 * o.pad_w + o.kw, ws[3]},
      ws[0]);
}

// What `pass` of this op needs and costs: it is the `other` pass of that convolution.
struct TransposedPass {
  Conv2dPlan plan;
  Work work;
  TransposedPass(const Context& ctx, const Conv2dGeometry& geometry, DType dtype, Pass pass, Pass other)
      : plan(ctx.kernels->conv2d_plan(ctx, geometry, dtype, other)), work(conv_work("conv2d", geometry, plan, pass)) {}
};

}  // namespace

Var conv_transpose2d(Var x, Var weight, const Conv2dOptions& options) {
  Tape& t = *x.tape;
  check_parameter("conv_transpose2d", x, weight);
  const Conv2dGeometry geometry = other_way(x, weight, options);
  const DType dtype = x.dtype();
  const Tensor xv = x.value();
  Tensor y = t.alloc(geometry.x_shape(), dtype);  // [N,H',W',C_out]
  const LayerWeight w(weight, dtype);
  {
    const TransposedPass pass(t.ctx, geometry, dtype, Pass::forward, Pass::backward_input);
    Arena::Workspace workspace(*t.ctx.arena, pass.plan.workspace_bytes);
    t.launch(pass.work, t.ctx.kernels->conv2d_backward_input, geometry, xv, w.value, Tensor{}, workspace, y);
  }
  return t.record(
      {.name = "conv_transpose2d",
       .inputs = {x, weight},
       .output = y,
       .saved = {w.saved_for(x)},
       .reads_output = false,
       .backward = [=](Grads& g) {
         if (g.wants(weight)) {
           Tensor dw = g.alloc(weight), no_bias;
           const TransposedPass pass(g.ctx(), geometry, dtype, Pass::backward_weight, Pass::backward_weight);
           Arena::Workspace workspace(*g.ctx().arena, pass.plan.workspace_bytes);
           g.tape().launch(pass.work, g.kernels().conv2d_backward_weight, geometry, g.dy(), xv, workspace, dw, no_bias);
           g.add(weight, dw);
         }
         if (g.wants(x)) {
           Tensor dx = g.alloc(x), no_bias;
           const TransposedPass pass(g.ctx(), geometry, dtype, Pass::backward_input, Pass::forward);
           Arena::Workspace workspace(*g.ctx().arena, pass.plan.workspace_bytes);
           g.tape().launch(pass.work, g.kernels().conv2d_forward, geometry, g.dy(), w.value, no_bias, Tensor{},
                           workspace, dx);
           g.add(x, dx);
         }
       }});
}

}  // namespace poise
