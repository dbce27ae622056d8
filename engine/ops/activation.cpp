// Element-wise ops: leaky ReLU, tanh, add.
#include "engine/ops/check.h"
#include "engine/ops/ops.h"

namespace poise {

Var leaky_relu(Var x, float slope) {
  Tape& t = *x.tape;
  check(t, slope >= 0 && slope < 1,
        [&] { return "leaky_relu expects a slope in [0,1) but got " + std::to_string(slope); });
  const Tensor made = slope == 0 ? x.rectified() : Tensor{};
  Tensor y = made ? made : t.alloc(x.shape(), x.dtype());
  if (!made) t.launch({"leaky_relu", Pass::forward}, t.ctx.kernels->leaky_relu_forward, slope, x.value(), y);
  return t.record(
      {.name = "leaky_relu",
       .inputs = {x},
       .output = y,
       .reads_inputs = false,
       .is_rectified = slope == 0,
       .backward = [x, y, slope](Grads& g) {
         Tensor dx = g.dy();
         if (!g.dy_is_before_relu()) {
           g.tape().launch({"leaky_relu", Pass::backward}, g.kernels().leaky_relu_backward, slope, y, dx, dx);
         }
         g.move_dy_to(x, x.shape());
       }});
}

Var tanh(Var x) {
  Tape& t = *x.tape;
  Tensor y = t.alloc(x.shape(), x.dtype());
  t.launch({"tanh", Pass::forward}, t.ctx.kernels->tanh_forward, x.value(), y);
  return t.record({.name = "tanh", .inputs = {x}, .output = y, .backward = [x, y](Grads& g) {
                     Tensor dx = g.dy();
                     g.tape().launch({"tanh", Pass::backward}, g.kernels().tanh_backward, y, dx, dx);
                     g.move_dy_to(x, x.shape());
                   }});
}

Var add(Var a, Var b) {
  Tape& t = *a.tape;
  check_operands("add", a, b);
  check(t, a.shape() == b.shape(), [&] {
    return "add expects two tensors of one shape but got " + a.shape().to_string() + " and " + b.shape().to_string();
  });
  Tensor y = t.alloc(a.shape(), a.dtype());
  t.launch({"add", Pass::forward}, t.ctx.kernels->add, a.value(), b.value(), y);
  return t.record({.name = "add", .inputs = {a, b}, .output = y, .reads_output = false, .backward = [a, b](Grads& g) {
                     // The copy comes first: once dy has moved it belongs to its receiver.
                     if (g.wants(a) && g.wants(b)) g.copy_dy_to(a);
                     if (g.wants(b)) return g.move_dy_to(b, b.shape());
                     if (g.wants(a)) g.move_dy_to(a, a.shape());
                   }});
}

}  // namespace poise
