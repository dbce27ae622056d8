// y = x w^T + b.
#include "engine/ops/check.h"
#include "engine/ops/layer_weight.h"
#include "engine/ops/ops.h"

namespace poise {
namespace {

Arena::Scratch workspace_of(Context& ctx, const LinearGeometry& geometry, DType dtype, Pass pass) {
  return Arena::Scratch(*ctx.arena, ctx.kernels->linear_plan(ctx, geometry, dtype, pass));
}

}  // namespace

Var linear(Var x, Var weight, Var bias) {
  Tape& t = *x.tape;
  check_parameter("linear", x, weight);
  const Shape xs = x.shape(), ws = weight.shape();
  check(t, xs.rank() == 2 && ws.rank() == 2 && xs[1] == ws[1], [&] {
    return "linear expects input [N," + (ws.rank() == 2 ? std::to_string(ws[1]) : "in") + "] for weight " +
           ws.to_string() + " but got " + xs.to_string();
  });
  if (bias.tape) {
    check_parameter("linear", x, bias);
    check(t, bias.shape() == Shape{ws[0]}, [&] {
      return "linear expects bias " + Shape{ws[0]}.to_string() + " for weight " + ws.to_string() + " but got " +
             bias.shape().to_string();
    });
  }
  const LinearGeometry geometry{.n = xs[0], .in = xs[1], .out = ws[0]};
  Tensor y = t.alloc({xs[0], ws[0]}, x.dtype());
  const LayerWeight w(weight, x.dtype());
  const Tensor xv = x.value(), wv = weight.value();
  auto work = [xv, wv, y](Pass pass) {
    return memory_work("linear", pass, {&xv, &wv, &y}, 2.0 * static_cast<double>(xv.elements() * wv.shape[0]));
  };
  {
    Arena::Scratch workspace = workspace_of(t.ctx, geometry, xv.dtype, Pass::forward);
    t.launch(work(Pass::forward), t.ctx.kernels->linear_forward, xv, w.value, bias.tape ? bias.value() : Tensor{},
             workspace.tensor(), y);
  }
  const Var result =
      t.record({.name = "linear", .inputs = {x, weight, bias}, .output = y, .backward = [=](Grads& g) {
                  if (g.wants(weight) || g.wants(bias)) {
                    Tensor dw = g.alloc(weight), db = g.wants(bias) ? g.alloc(bias) : Tensor{};
                    Arena::Scratch workspace = workspace_of(g.ctx(), geometry, xv.dtype, Pass::backward_weight);
                    g.tape().launch(work(Pass::backward_weight), g.kernels().linear_backward_weight, xv, g.dy(),
                                    workspace.tensor(), dw, db);
                    g.add_or_recycle(weight, dw);
                    if (db) g.add(bias, db);
                  }
                  if (g.wants(x)) {
                    Tensor dx = g.alloc(x);
                    Arena::Scratch workspace = workspace_of(g.ctx(), geometry, xv.dtype, Pass::backward_input);
                    g.tape().launch(work(Pass::backward_input), g.kernels().linear_backward_input, g.dy(), w.value,
                                    workspace.tensor(), dx);
                    g.add(x, dx);
                  }
                  w.recycle(g.ctx());
                }});
  if (!result.requires_grad()) w.recycle(t.ctx);
  return result;
}

}  // namespace poise
