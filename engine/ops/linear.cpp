// y = x w^T + b. On a sparse path, as a 1x1 convolution of N images of one pixel.
#include "engine/ops/layer_weight.h"
#include "engine/ops/ops.h"

namespace poise {

Var linear(Var x, Var weight, Var bias, LayerExecution* execution) {
  Tape& t = *x.tape;
  check_parameter("linear", x, weight);
  const Shape xs = x.shape(), ws = weight.shape();
  check(t, xs.rank() == 2 && ws.rank() == 2 && xs[1] == ws[1], [&] {
    return "linear expects input [N," + (ws.rank() == 2 ? std::to_string(ws[1]) : "in") + "] for weight " +
           ws.to_string() + " but got " + xs.to_string();
  });
  check_bias("linear", x, weight, bias);
  const LinearGeometry geometry{.n = xs[0], .in = xs[1], .out = ws[0]};
  Tensor y = t.alloc({xs[0], ws[0]}, x.dtype());
  const LayerWeight w(weight, x.dtype());
  const Tensor xv = x.value();
  const auto pass_of = [=, dtype = x.dtype()](const Context& ctx, Pass pass) {
    const Conv2dGeometry convolution{.n = geometry.n, .h = 1, .w = 1, .c_in = geometry.in, .c_out = geometry.out};
    return LayerPass(ctx, "linear", convolution, dtype, pass, execution, [&](const Conv2dGeometry&) {
      return Conv2dPlan{.workspace_bytes = ctx.kernels->linear_plan(ctx, geometry, dtype, pass),
                        .executed_macs = convolution.macs()};
    });
  };
  const LayerPass forward = pass_of(t.ctx, Pass::forward);
  if (execution && t.records_gradients()) execution->note(forward.geometry);
  {
    Arena::Workspace workspace(*t.ctx.arena, forward.workspace_bytes);
    forward.launch(t, t.ctx.kernels->block_conv2d_forward, t.ctx.kernels->cusparse_conv2d_forward,
                   t.ctx.kernels->weights_conv2d_forward, t.ctx.kernels->linear_forward, xv, w.value,
                   bias.tape ? bias.value() : Tensor{}, workspace, y);
  }
  return t.record(
      {.name = "linear",
       .inputs = {x, weight, bias},
       .output = y,
       .saved = {w.saved_for(x)},
       .reads_output = false,
       .backward = [=](Grads& g) {
         const KernelTable& k = g.kernels();
         if (g.wants(weight) || g.wants(bias)) {
           Tensor dw = g.alloc(weight), db = g.wants(bias) ? g.alloc(bias) : Tensor{};
           const LayerPass pass = pass_of(g.ctx(), Pass::backward_weight);
           Arena::Workspace workspace(*g.ctx().arena, pass.workspace_bytes);
           pass.launch(g.tape(), k.block_conv2d_backward_weight, k.cusparse_conv2d_backward_weight,
                       k.weights_conv2d_backward_weight, k.linear_backward_weight, xv, g.dy(), workspace, dw, db);
           g.add_or_recycle(weight, dw);
           if (db) g.add(bias, db);
         }
         if (g.wants(x)) {
           Tensor dx = g.alloc(x);
           const LayerPass pass = pass_of(g.ctx(), Pass::backward_input);
           Arena::Workspace workspace(*g.ctx().arena, pass.workspace_bytes);
           pass.launch(g.tape(), k.block_conv2d_backward_input, k.cusparse_conv2d_backward_input,
                       k.weights_conv2d_backward_input, k.linear_backward_input, g.dy(), w.value, workspace, dx);
           g.add(x, dx);
         }
       }});
}

}  // namespace poise
