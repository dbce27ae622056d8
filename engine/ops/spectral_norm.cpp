// weight / sigma, sigma estimated by one power iteration per training pass (Miyato et al. 2018).
#include "engine/ops/check.h"
#include "engine/ops/ops.h"

namespace poise {

Var spectral_norm(Var weight, Tensor u, Tensor v, double eps) {
  Tape& t = *weight.tape;
  const Shape ws = weight.shape();
  const int64_t out = ws[0], rest = ws.elements() / ws[0];
  check(t, u.shape == Shape{out} && v.shape == Shape{rest} && u.dtype == weight.dtype() && v.dtype == u.dtype, [&] {
    return "spectral_norm expects u " + Shape{out}.to_string() + " and v " + Shape{rest}.to_string() + " for weight " +
           ws.to_string() + " but got " + u.shape.to_string() + " and " + v.shape.to_string();
  });
  const Tensor w = weight.value();
  Tensor y = t.alloc(ws, w.dtype), u_used = t.alloc({out}, w.dtype), v_used = t.alloc({rest}, w.dtype);
  Tensor sigma = t.alloc({1}, w.dtype);
  const bool iterate = t.mode == Mode::train;
  const double matrix_vector_flops = 2.0 * static_cast<double>(w.elements());
  t.launch(memory_work("spectral_norm", Pass::forward, {&w, &w, &w, &y}, (iterate ? 3 : 1) * matrix_vector_flops),
           t.ctx.kernels->spectral_norm_forward, eps, iterate, w, u, v, u_used, v_used, sigma, y);
  return t.record({.name = "spectral_norm", .inputs = {weight}, .output = y, .backward = [=](Grads& g) {
                     Tensor dw = g.alloc(weight);
                     g.tape().launch(
                         memory_work("spectral_norm", Pass::backward, {&y, &y, &dw, &dw}, 2 * matrix_vector_flops),
                         g.kernels().spectral_norm_backward, y, u_used, v_used, sigma, g.dy(), dw);
                     g.add(weight, dw);
                   }});
}

}  // namespace poise
