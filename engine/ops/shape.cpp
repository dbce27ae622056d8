// Ops that only move data or change shapes: reshape, detach, concat_batch, slices and concatenations of channels.
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
  t.launch({"concat_batch", Pass::forward}, t.ctx.kernels->copy, a.value(), head);
  t.launch({"concat_batch", Pass::forward}, t.ctx.kernels->copy, b.value(), tail);
  return t.record(
      {.name = "concat_batch", .inputs = {a, b}, .output = y, .backward = [a, b, n_a, n_b](Grads& g) {
         auto give = [&](Var x, int64_t first, int64_t count) {
           if (!g.wants(x)) return;
           Tensor dx = g.alloc(x);
           g.tape().launch({"concat_batch", Pass::backward}, g.kernels().copy, g.dy().slice(first, count), dx);
           g.add(x, dx);
         };
         give(a, 0, n_a);
         give(b, n_a, n_b);
       }});
}

Var concat_channels(std::initializer_list<Var> parts) {
  require(parts.size() >= 1 && parts.size() <= Node::kMaxInputs, "concat_channels takes as many parts as a node has");
  const Var first = *parts.begin();
  Tape& t = *first.tape;
  Node node{.name = "concat_channels"};
  Shape shape = first.shape();
  const int last = shape.rank() - 1;
  check(t, last >= 0, [&] { return std::string("concat_channels expects tensors with channels but got a scalar"); });
  std::copy(parts.begin(), parts.end(), node.inputs.begin());
  shape[last] = 0;
  for (const Var& x : parts) {
    check_operands("concat_channels", first, x);
    Shape other = x.shape();
    const int64_t channels = other.rank() == last + 1 ? other[last] : 0;
    if (channels > 0) other[last] = shape[last];
    check(t, other == shape, [&] {
      return "concat_channels expects shapes that differ only in their channels but got " + first.shape().to_string() +
             " and " + x.shape().to_string();
    });
    shape[last] += channels;
  }
  node.output = t.alloc(shape, first.dtype());
  int64_t begin = 0;
  for (const Var& x : parts) {
    const Tensor part = x.value();
    t.launch(moving_work("concat_channels", Pass::forward, part), t.ctx.kernels->insert_channels, part, begin,
             node.output);
    begin += part.shape[last];
  }
  node.backward = [inputs = node.inputs](Grads& g) {
    int64_t offset = 0;
    for (const Var& x : inputs) {
      if (!x.tape) break;
      const int64_t channels = x.shape().back();
      if (g.wants(x)) {
        Tensor dx = g.alloc(x);
        g.tape().launch(moving_work("concat_channels", Pass::backward, dx), g.kernels().extract_channels, g.dy(),
                        offset, dx);
        g.add(x, dx);
      }
      offset += channels;
    }
  };
  return t.record(node);
}

Var slice_channels(Var x, int64_t first, int64_t count) {
  Tape& t = *x.tape;
  Shape shape = x.shape();
  const int last = shape.rank() - 1;
  check(t, last >= 0 && first >= 0 && count > 0 && first + count <= shape[last], [&] {
    return "slice_channels expects an input with at least " + std::to_string(first + count) + " channels but got " +
           shape.to_string();
  });
  shape[last] = count;
  const Tensor xv = x.value();
  Tensor y = t.alloc(shape, x.dtype());
  t.launch(moving_work("slice_channels", Pass::forward, y), t.ctx.kernels->extract_channels, xv, first, y);
  return t.record({.name = "slice_channels", .inputs = {x}, .output = y, .backward = [x, first](Grads& g) {
                     Tensor dx = g.alloc(x);
                     const Tensor dy = g.dy();
                     g.tape().launch({"slice_channels", Pass::backward}, g.kernels().fill, 0.0, dx);
                     g.tape().launch(moving_work("slice_channels", Pass::backward, dy), g.kernels().insert_channels, dy,
                                     first, dx);
                     g.add(x, dx);
                   }});
}

}  // namespace poise
