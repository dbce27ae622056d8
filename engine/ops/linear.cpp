// y = x w^T + b.
#include "engine/ops/check.h"
#include "engine/ops/ops.h"

namespace poise {

Var linear(Var x, Var weight, Var bias) {
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
  t.launch(work(Pass::forward), t.ctx.kernels->linear_forward, xv, w, bias.tape ? bias.value() : Tensor{}, y);
  return t.record({.name = "linear", .inputs = {x, weight, bias}, .output = y, .backward = [=](Grads& g) {
                     if (g.wants(weight) || g.wants(bias)) {
                       Tensor dw = g.alloc(weight), db = g.wants(bias) ? g.alloc(bias) : Tensor{};
                       g.tape().launch(work(Pass::backward_weight), g.kernels().linear_backward_weight, xv, g.dy(), dw,
                                       db);
                       g.add_or_recycle(weight, dw);
                       if (db) g.add(bias, db);
                     }
                     if (g.wants(x)) {
                       Tensor dx = g.alloc(x);
                       g.tape().launch(work(Pass::backward_input), g.kernels().linear_backward_input, g.dy(), w, dx);
                       g.add(x, dx);
                     }
                   }});
}

}  // namespace poise
