// The products, the softmax and the gate of self-attention (kernels/dense/attention/attention.h).
#include "engine/ops/check.h"
#include "engine/ops/ops.h"

namespace poise {

Var batched_matmul(Var a, Var b, bool transpose_b) {
  Tape& t = *a.tape;
  check_operands("batched_matmul", a, b);
  const Shape as = a.shape(), bs = b.shape();
  check(t, as.rank() == 3 && bs.rank() == 3 && as[0] == bs[0] && as[2] == bs[transpose_b ? 2 : 1], [&] {
    return std::string("batched_matmul expects [N,m,k] and ") + (transpose_b ? "[N,n,k]" : "[N,k,n]") + " but got " +
           as.to_string() + " and " + bs.to_string();
  });
  const int64_t n = bs[transpose_b ? 1 : 2];
  const Tensor av = a.value(), bv = b.value();
  Tensor y = t.alloc({as[0], as[1], n}, a.dtype());
  const auto work = [=](Pass pass) {
    return arithmetic_work("batched_matmul", pass, 2.0 * static_cast<double>(av.elements() * n));
  };
  t.launch(work(Pass::forward), t.ctx.kernels->batched_matmul, false, transpose_b, av, bv, y);
  return t.record({.name = "batched_matmul", .inputs = {a, b}, .output = y, .backward = [=](Grads& g) {
                     const auto& product = g.kernels().batched_matmul;
                     if (g.wants(a)) {  // da = dy op(b)^T
                       Tensor da = g.alloc(a);
                       g.tape().launch(work(Pass::backward_input), product, false, !transpose_b, g.dy(), bv, da);
                       g.add(a, da);
                     }
                     if (!g.wants(b)) return;  // db = a^T dy, or dy^T a
                     Tensor db = g.alloc(b);
                     if (transpose_b) {
                       g.tape().launch(work(Pass::backward_input), product, true, false, g.dy(), av, db);
                     } else {
                       g.tape().launch(work(Pass::backward_input), product, true, false, av, g.dy(), db);
                     }
                     g.add(b, db);
                   }});
}

Var softmax(Var x) {
  Tape& t = *x.tape;
  Tensor y = t.alloc(x.shape(), x.dtype());
  t.launch({"softmax", Pass::forward}, t.ctx.kernels->softmax_forward, x.value(), y);
  return t.record({.name = "softmax", .inputs = {x}, .output = y, .backward = [x, y](Grads& g) {
                     Tensor dx = g.alloc(x);
                     g.tape().launch({"softmax", Pass::backward}, g.kernels().softmax_backward, y, g.dy(), dx);
                     g.add(x, dx);
                   }});
}

Var gated_add(Var x, Var o, Var gate) {
  Tape& t = *x.tape;
  check_operands("gated_add", x, o);
  check_parameter("gated_add", x, gate);
  check(t, x.shape() == o.shape() && gate.shape() == Shape{1}, [&] {
    return "gated_add expects two tensors of one shape and a gate [1] but got " + x.shape().to_string() + ", " +
           o.shape().to_string() + " and " + gate.shape().to_string();
  });
  const Tensor ov = o.value(), gv = gate.value();
  Tensor y = t.alloc(x.shape(), x.dtype());
  t.launch({"gated_add", Pass::forward}, t.ctx.kernels->gated_add_forward, x.value(), ov, gv, y);
  return t.record(
      {.name = "gated_add", .inputs = {x, o, gate}, .output = y, .reads_output = false, .backward = [=](Grads& g) {
         if (g.wants(o) || g.wants(gate)) {
           Tensor grad_o = g.alloc(o), dgate = g.alloc(gate);
           Arena::Workspace workspace(*g.ctx().arena, kGatedAddWorkspace);
           g.tape().launch({"gated_add", Pass::backward}, g.kernels().gated_add_backward, ov, gv, g.dy(), workspace,
                           grad_o, dgate);
           g.add_or_recycle(o, grad_o);
           g.add_or_recycle(gate, dgate);
         }
         if (g.wants(x)) g.move_dy_to(x, x.shape());
       }});
}

}  // namespace poise
