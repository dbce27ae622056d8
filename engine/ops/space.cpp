// Ops that change the spatial size: nearest-neighbour enlargement, pooling, sums over space.
#include "engine/ops/check.h"
#include "engine/ops/ops.h"

namespace poise {
namespace {

void check_image(const char* op, Var x) {
  check(*x.tape, x.shape().rank() == 4,
        [&] { return std::string(op) + " expects input [N,H,W,C] but got " + x.shape().to_string(); });
}

Var scaled_sum_space(const char* op, Var x, double scale) {
  Tape& t = *x.tape;
  const Shape s = x.shape();
  const Tensor xv = x.value();
  Tensor y = t.alloc({s[0], s[3]}, parameter_dtype(x.dtype()));
  t.launch({op, Pass::forward}, t.ctx.kernels->sum_space_forward, scale, xv, y);
  return t.record({.name = op, .inputs = {x}, .output = y, .reads_output = false, .backward = [x, op, scale](Grads& g) {
                     const Tensor rectified = g.take_over_relu(x).memory;
                     Tensor dx = rectified ? rectified : g.alloc(x);
                     g.tape().launch({op, Pass::backward}, g.kernels().sum_space_backward, scale,
                                     static_cast<bool>(rectified), g.dy(), dx);
                     if (!rectified) g.add(x, dx);
                   }});
}

}  // namespace

Var upsample_nearest_2x(Var x) {
  Tape& t = *x.tape;
  check_image("upsample_nearest_2x", x);
  const Shape s = x.shape();
  const Tensor xv = x.value();
  Tensor y = t.alloc({s[0], 2 * s[1], 2 * s[2], s[3]}, x.dtype());
  t.launch({"upsample_nearest_2x", Pass::forward}, t.ctx.kernels->upsample_nearest_2x_forward, xv, y);
  return t.record(
      {.name = "upsample_nearest_2x", .inputs = {x}, .output = y, .reads_output = false, .backward = [x](Grads& g) {
         Tensor dx = g.alloc(x);
         g.tape().launch({"upsample_nearest_2x", Pass::backward}, g.kernels().upsample_nearest_2x_backward, g.dy(), dx);
         g.add(x, dx);
       }});
}

Var avg_pool_2x2(Var x) {
  Tape& t = *x.tape;
  check_image("avg_pool_2x2", x);
  const Shape s = x.shape();
  check(t, s[1] >= 2 && s[2] >= 2,
        [&] { return "avg_pool_2x2 expects a height and width of at least 2 but got " + s.to_string(); });
  const Tensor xv = x.value();
  Tensor y = t.alloc({s[0], s[1] / 2, s[2] / 2, s[3]}, x.dtype());
  t.launch({"avg_pool_2x2", Pass::forward}, t.ctx.kernels->avg_pool_2x2_forward, xv, y);
  return t.record(
      {.name = "avg_pool_2x2", .inputs = {x}, .output = y, .reads_output = false, .backward = [x](Grads& g) {
         Tensor dx = g.alloc(x);
         g.tape().launch({"avg_pool_2x2", Pass::backward}, g.kernels().avg_pool_2x2_backward, g.dy(), dx);
         g.add(x, dx);
       }});
}

Var sum_space(Var x) {
  check_image("sum_space", x);
  return scaled_sum_space("sum_space", x, 1.0);
}

Var mean_space(Var x) {
  check_image("mean_space", x);
  return scaled_sum_space("mean_space", x, 1.0 / static_cast<double>(x.shape()[1] * x.shape()[2]));
}

}  // namespace poise
