// Ops that only move or rename: reshape, detach, concat_batch, slices and concatenations of columns.
#include "engine/ops/check.h"
#include "engine/ops/ops.h"

namespace poise {

Var reshape(Var x, const Shape& shape) {
  Tape& t = *x.tape;
  check(t, shape.elements() == x.shape().elements(), [&] {
    return "reshape to " + shape.to_string() + " expects " + std::to_string(shape.elements()) + " elements but got " +
           x.shape().to_string();
  });
  return t.record({.name = "reshape",
                   .inputs = {x},
                   .output = x.value().reshaped(shape),
                   .is_view = true,
                   .backward = [x](Grads& g) { g.move_dy_to(x, x.shape()); }});
}

Var detach(Var x) { return x.tape->record({.name = "detach", .inputs = {x}, .output = x.value(), .is_view = true}); }

Var concat_batch(Var a, Var b) {
  Tape& t = *a.tape;
  check_operands("concat_batch", a, b);
  Shape shape = a.shape(), other = b.shape();
  check(t, shape.rank() > 0 && shape.rank() == other.rank(), [&] {
    return "concat_batch expects tensors of one rank but got " + a.shape().to_string() + " and " +
           b.shape().to_string();
  });
  const int64_t n_a = shape[0], n_b = other[0];
  other[0] = n_a;
  check(t, shape == other, [&] {
    return "concat_batch expects shapes that differ only in the batch but got " + a.shape().to_string() + " and " +
           b.shape().to_string();
  });
  shape[0] = n_a + n_b;
  Tensor y = t.alloc(shape, a.dtype());
  Tensor head = y.slice(0, n_a), tail = y.slice(n_a, n_b);
  t.launch(memory_work("concat_batch", Pass::forward, {&head, &head}), t.ctx.kernels->copy, a.value(), head);
  t.launch(memory_work("concat_batch", Pass::forward, {&tail, &tail}), t.ctx.kernels->copy, b.value(), tail);
  return t.record({.name = "concat_batch", .inputs = {a, b}, .output = y, .backward = [a, b, n_a, n_b](Grads& g) {
                     auto give = [&](Var x, int64_t first, int64_t count) {
                       if (!g.wants(x)) return;
                       Tensor dx = g.alloc(x);
                       g.tape().launch(memory_work("concat_batch", Pass::backward, {&dx, &dx}), g.kernels().copy,
                                       g.dy().slice(first, count), dx);
                       g.add(x, dx);
                     };
                     give(a, 0, n_a);
                     give(b, n_a, n_b);
                   }});
}

namespace {

void copy_columns(Tape& t, const char* op, Pass pass, int64_t from, int64_t to, int64_t count, const Tensor& x,
                  Tensor& y) {
  const double bytes = 2 * static_cast<double>(x.shape[0] * count) * static_cast<double>(size_of(x.dtype));
  t.launch({.op = op, .pass = pass, .bytes = bytes}, t.ctx.kernels->copy_columns, from, to, count, x, y);
}

}  // namespace

Var slice_columns(Var x, int64_t first, int64_t count) {
  Tape& t = *x.tape;
  const Shape s = x.shape();
  check(t, s.rank() == 2 && first >= 0 && count > 0 && first + count <= s[1], [&] {
    return "slice_columns expects input [N,A] with at least " + std::to_string(first + count) + " columns but got " +
           s.to_string();
  });
  Tensor y = t.alloc({s[0], count}, x.dtype());
  copy_columns(t, "slice_columns", Pass::forward, first, 0, count, x.value(), y);
  return t.record({.name = "slice_columns", .inputs = {x}, .output = y, .backward = [x, first, count](Grads& g) {
                     Tensor dx = g.alloc(x);
                     g.tape().launch(memory_work("slice_columns", Pass::backward, {&dx}), g.kernels().fill, 0.0, dx);
                     copy_columns(g.tape(), "slice_columns", Pass::backward, 0, first, count, g.dy(), dx);
                     g.add(x, dx);
                   }});
}

Var concat_columns(Var a, Var b) {
  Tape& t = *a.tape;
  check_operands("concat_columns", a, b);
  const Shape as = a.shape(), bs = b.shape();
  check(t, as.rank() == 2 && bs.rank() == 2 && as[0] == bs[0],
        [&] { return "concat_columns expects [N,A] and [N,B] but got " + as.to_string() + " and " + bs.to_string(); });
  Tensor y = t.alloc({as[0], as[1] + bs[1]}, a.dtype());
  copy_columns(t, "concat_columns", Pass::forward, 0, 0, as[1], a.value(), y);
  copy_columns(t, "concat_columns", Pass::forward, 0, as[1], bs[1], b.value(), y);
  return t.record({.name = "concat_columns", .inputs = {a, b}, .output = y, .backward = [a, b](Grads& g) {
                     const int64_t width = a.shape()[1];
                     const auto give = [&](Var x, int64_t first) {
                       if (!g.wants(x)) return;
                       Tensor dx = g.alloc(x);
                       copy_columns(g.tape(), "concat_columns", Pass::backward, first, 0, x.shape()[1], g.dy(), dx);
                       g.add(x, dx);
                     };
                     give(a, 0);
                     give(b, width);
                   }});
}

}  // namespace poise
