// Two-dimensional convolution, optionally of a twice enlarged input (kernels/dense/conv2d/conv2d.h).
#include "engine/ops/layer_pass.h"
#include "engine/ops/layer_weight.h"
#include "engine/ops/ops.h"

namespace poise {
namespace {

LayerPass pass_of(const Context& ctx, const Conv2dGeometry& geometry, DType dtype, Pass pass,
                  const LayerExecution* execution) {
  return LayerPass(ctx, "conv2d", geometry, dtype, pass, execution,
                   [&] { return ctx.kernels->conv2d_plan(ctx, geometry, dtype, pass); });
}

Conv2dGeometry geometry_of(Var x, Var weight, const Conv2dOptions& o) {
  const Shape xs = x.shape(), ws = weight.shape();
  check(*x.tape, xs.rank() == 4 && ws.rank() == 4 && xs[3] == ws[3], [&] {
    return "conv2d expects input [N,H,W," + (ws.rank() == 4 ? std::to_string(ws[3]) : "C_in") + "] for weight " +
           ws.to_string() + " [C_out,kh,kw,C_in] but got " + xs.to_string();
  });
  check(*x.tape, ws[1] == o.kh && ws[2] == o.kw, [&] {
    return "conv2d expects a weight with a " + std::to_string(o.kh) + "x" + std::to_string(o.kw) + " kernel but got " +
           ws.to_string();
  });
  const Conv2dGeometry geometry = o.geometry(xs, ws[0]);
  check(*x.tape, geometry.enlargement_allowed(), [&] {
    return std::string(
        "conv2d expects upsample 1, or upsample 2 with stride 1 and a 1x1 or 3x3 kernel that keeps the "
        "size (padding 0 or 1); use upsample_nearest_2x before any other");
  });
  check(*x.tape, geometry.h * o.upsample + 2 * o.pad_h >= o.kh && geometry.w * o.upsample + 2 * o.pad_w >= o.kw, [&] {
    return "conv2d expects an input at least as large as its " + std::to_string(o.kh) + "x" + std::to_string(o.kw) +
           " kernel (after padding " + std::to_string(o.pad_h) + "," + std::to_string(o.pad_w) + ") but got " +
           xs.to_string();
  });
  return geometry;
}

}  // namespace

Var conv2d(Var x, Var weight, Var bias, const Conv2dOptions& options, LayerExecution* execution) {
  Tape& t = *x.tape;
  check_parameter("conv2d", x, weight);
  const Conv2dGeometry geometry = geometry_of(x, weight, options);
  if (bias.tape) {
    check_parameter("conv2d", x, bias);
    check(t, bias.shape() == Shape{geometry.c_out}, [&] {
      return "conv2d expects bias " + Shape{geometry.c_out}.to_string() + " but got " + bias.shape().to_string();
    });
  }
  if (execution && t.records_gradients()) execution->note(geometry);
  const Tensor xv = x.value(), b = bias.tape ? bias.value() : Tensor{};
  Tensor y = t.alloc(geometry.y_shape(), x.dtype());  // [N,H',W',C_out]
  const LayerWeight w(weight, x.dtype());
  {
    const LayerPass pass = pass_of(t.ctx, geometry, x.dtype(), Pass::forward, execution);
    Arena::Scratch workspace(*t.ctx.arena, pass.workspace_bytes);
    const KernelTable& k = *t.ctx.kernels;
    pass.launch(t, k.block_conv2d_forward, k.cusparse_conv2d_forward, k.weights_conv2d_forward, k.conv2d_forward, xv,
                w.value, b, workspace, y);
    if (!pass.is_dense() && geometry.relu) {  // sparse kernels leave it to us
      t.launch({"leaky_relu", Pass::forward}, k.leaky_relu_forward, 0.0f, y, y);
    }
  }
  const Var result =
      t.record({.name = "conv2d", .inputs = {x, weight, bias}, .output = y, .backward = [=](Grads& g) {
                  const KernelTable& k = g.kernels();
                  Tensor dy = g.dy();
                  if (geometry.relu) {
                    dy = g.tape().alloc(y.shape, y.dtype);
                    g.tape().launch({"leaky_relu", Pass::backward}, k.leaky_relu_backward, 0.0f, y, g.dy(), dy);
                  }
                  if (g.wants(weight) || g.wants(bias)) {
                    Tensor dw = g.alloc(weight), db = g.wants(bias) ? g.alloc(bias) : Tensor{};
                    const LayerPass pass = pass_of(g.ctx(), geometry, xv.dtype, Pass::backward_weight, execution);
                    Arena::Scratch workspace(*g.ctx().arena, pass.workspace_bytes);
                    pass.launch(g.tape(), k.block_conv2d_backward_weight, k.cusparse_conv2d_backward_weight,
                                k.weights_conv2d_backward_weight, k.conv2d_backward_weight, xv, dy, workspace, dw, db);
                    g.add_or_recycle(weight, dw);
                    if (db) g.add(bias, db);
                  }
                  if (g.wants(x)) {
                    Tensor dx = g.alloc(x);
                    const LayerPass pass = pass_of(g.ctx(), geometry, xv.dtype, Pass::backward_input, execution);
                    Arena::Scratch workspace(*g.ctx().arena, pass.workspace_bytes);
                    pass.launch(g.tape(), k.block_conv2d_backward_input, k.cusparse_conv2d_backward_input,
                                k.weights_conv2d_backward_input, k.conv2d_backward_input, dy, w.value, workspace, dx);
                    g.add(x, dx);
                  }
                  if (geometry.relu) g.ctx().arena->recycle(dy);
                  w.recycle(g.ctx());
                }});
  if (!result.requires_grad()) w.recycle(t.ctx);
  return result;
}

}  // namespace poise
