// y = x w^T + b. To skip dead blocks, as a 1x1 convolution of N images of one pixel.
#include "engine/ops/check.h"
#include "engine/ops/ops.h"
#include "engine/sparse/layer_execution.h"

namespace poise {
namespace {

// A block-sparse pass: its plan, and what it costs.
struct BlockPass {
  const BlockIndex& blocks;
  Conv2dPlan plan;
  Work work;
  BlockPass(const Context& ctx, const Conv2dGeometry& geometry, const BlockIndex& index, DType dtype, Work dense)
      : blocks(index), plan(ctx.kernels->block_conv2d_plan(ctx, geometry, index, dtype, dense.pass)), work(dense) {
    work.executed_flops = 2 * plan.executed_macs;
  }
};

}  // namespace

Var linear(Var x, Var weight, Var bias, LayerExecution* execution) {
  Tape& t = *x.tape;
  check_operands("linear", x, weight);
  const Shape xs = x.shape(), ws = weight.shape();
  check(t, xs.rank() == 2 && ws.rank() == 2 && xs[1] == ws[1], [&] {
    return "linear expects input [N," + (ws.rank() == 2 ? std::to_string(ws[1]) : "in") + "] for weight " +
           ws.to_string() + " but got " + xs.to_string();
  });
  if (bias.tape) {
    check_operands("linear", x, bias);
    check(t, bias.shape() == Shape{ws[0]}, [&] {
      return "linear expects bias " + Shape{ws[0]}.to_string() + " for weight " + ws.to_string() + " but got " +
             bias.shape().to_string();
    });
  }
  Tensor y = t.alloc({xs[0], ws[0]}, x.dtype());
  const Tensor w = weight.value(), xv = x.value();
  auto work = [xv, w, y](Pass pass) {
    return memory_work("linear", pass, {&xv, &w, &y}, 2.0 * static_cast<double>(xv.elements() * w.shape[0]));
  };
  const Conv2dGeometry geometry{.n = xs[0], .h = 1, .w = 1, .c_in = ws[1], .c_out = ws[0]};
  if (execution) execution->note(geometry);
  const Tensor b = bias.tape ? bias.value() : Tensor{};
  if (const BlockIndex* blocks = execution ? execution->blocks(Pass::forward) : nullptr) {
    const BlockPass pass(t.ctx, geometry, *blocks, x.dtype(), work(Pass::forward));
    Arena::Scratch workspace(*t.ctx.arena, pass.plan.workspace_bytes);
    t.launch(pass.work, t.ctx.kernels->block_conv2d_forward, geometry, *blocks, xv, w, b, workspace.tensor(), y);
  } else {
    t.launch(work(Pass::forward), t.ctx.kernels->linear_forward, xv, w, b, y);
  }
  return t.record({.name = "linear", .inputs = {x, weight, bias}, .output = y, .backward = [=](Grads& g) {
                     const KernelTable& k = g.kernels();
                     if (g.wants(weight) || g.wants(bias)) {
                       Tensor dw = g.alloc(weight), db = g.wants(bias) ? g.alloc(bias) : Tensor{};
                       const Work dense = work(Pass::backward_weight);
                       if (const BlockIndex* blocks = execution ? execution->blocks(dense.pass) : nullptr) {
                         const BlockPass pass(g.ctx(), geometry, *blocks, xv.dtype, dense);
                         Arena::Scratch workspace(*g.ctx().arena, pass.plan.workspace_bytes);
                         g.tape().launch(pass.work, k.block_conv2d_backward_weight, geometry, *blocks, xv, g.dy(),
                                         workspace.tensor(), dw, db);
                       } else {
                         g.tape().launch(dense, k.linear_backward_weight, xv, g.dy(), dw, db);
                       }
                       g.add_or_recycle(weight, dw);
                       if (db) g.add(bias, db);
                     }
                     if (g.wants(x)) {
                       Tensor dx = g.alloc(x);
                       const Work dense = work(Pass::backward_input);
                       if (const BlockIndex* blocks = execution ? execution->blocks(dense.pass) : nullptr) {
                         const BlockPass pass(g.ctx(), geometry, *blocks, xv.dtype, dense);
                         Arena::Scratch workspace(*g.ctx().arena, pass.plan.workspace_bytes);
                         g.tape().launch(pass.work, k.block_conv2d_backward_input, geometry, *blocks, g.dy(), w,
                                         workspace.tensor(), dx);
                       } else {
                         g.tape().launch(dense, k.linear_backward_input, g.dy(), w, dx);
                       }
                       g.add(x, dx);
                     }
                   }});
}

}  // namespace poise
