// Maximum and mean over windows (kernels/dense/space/window_pooling.h).
#include "engine/ops/check.h"
#include "engine/ops/ops.h"

namespace poise {
namespace {

Tensor pooled(const char* op, Var x, const PoolWindow& window) {
  const Shape s = x.shape();
  check(*x.tape, s.rank() == 4, [&] { return std::string(op) + " expects input [N,H,W,C] but got " + s.to_string(); });
  check(*x.tape,
        window.stride >= 1 && window.pad >= 0 && window.pad < window.size && s[1] + 2 * window.pad >= window.size &&
            s[2] + 2 * window.pad >= window.size,
        [&] {
          return std::string(op) + " expects a window that fits into the padded image and sees a cell of it but got " +
                 s.to_string() + " with size " + std::to_string(window.size) + ", stride " +
                 std::to_string(window.stride) + ", padding " + std::to_string(window.pad);
        });
  return x.tape->alloc({s[0], window.out(s[1]), window.out(s[2]), s[3]}, x.dtype());
}

}  // namespace

Var max_pool(Var x, const PoolWindow& window) {
  Tape& t = *x.tape;
  Tensor y = pooled("max_pool", x, window);
  const Tensor xv = x.value();
  t.launch({"max_pool", Pass::forward}, t.ctx.kernels->max_pool_forward, window, xv, y);
  return t.record(
      {.name = "max_pool", .inputs = {x}, .output = y, .backward = [x, xv, y, window](Grads& g) {
         Tensor dx = g.alloc(x);
         g.tape().launch({"max_pool", Pass::backward}, g.kernels().max_pool_backward, window, xv, y, g.dy(), dx);
         g.add(x, dx);
       }});
}

Var avg_pool(Var x, const PoolWindow& window) {
  Tape& t = *x.tape;
  Tensor y = pooled("avg_pool", x, window);
  const Tensor xv = x.value();
  t.launch({"avg_pool", Pass::forward}, t.ctx.kernels->avg_pool_forward, window, xv, y);
  return t.record({.name = "avg_pool", .inputs = {x}, .output = y, .backward = [x, y, window](Grads& g) {
                     Tensor dx = g.alloc(x);
                     g.tape().launch({"avg_pool", Pass::backward}, g.kernels().avg_pool_backward, window, g.dy(), dx);
                     g.add(x, dx);
                   }});
}

}  // namespace poise
