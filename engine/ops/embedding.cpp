// Class conditioning: rows of tables, the projection head, a scale and a shift per image and channel.
#include "engine/ops/check.h"
#include "engine/ops/ops.h"

namespace poise {

Var embedding(Var table, const Tensor& labels, DType dtype) {
  Tape& t = *table.tape;
  const Shape s = table.shape();
  check(t, s.rank() == 2 && labels && labels.dtype == DType::i32 && labels.shape.rank() == 1, [&] {
    return "embedding expects a table [classes,C] and labels i32 [N] but got " + s.to_string() + " and " +
           (labels ? std::string(name_of(labels.dtype)) + " " + labels.shape.to_string() : "no labels") +
           "; a conditional network is called with labels";
  });
  check(t, table.dtype() == parameter_dtype(dtype), [&] {
    return std::string("embedding expects a table in ") + name_of(parameter_dtype(dtype)) + " for output in " +
           name_of(dtype) + " but got " + name_of(table.dtype());
  });
  Tensor y = t.alloc({labels.shape[0], s[1]}, dtype);
  t.launch(moving_work("embedding", Pass::forward, y), t.ctx.kernels->embedding_forward, table.value(), labels, y);
  return t.record(
      {.name = "embedding", .inputs = {table}, .output = y, .backward = [table, labels, y](Grads& g) {
         Tensor dtable = g.alloc(table);
         g.tape().launch({"embedding", Pass::backward}, g.kernels().embedding_backward, labels, g.dy(), dtable);
         g.add(table, dtable);
       }});
}

Var row_dot(Var a, Var b) {
  Tape& t = *a.tape;
  check_operands("row_dot", a, b);
  const Shape s = a.shape();
  check(t, s.rank() == 2 && s == b.shape(),
        [&] { return "row_dot expects two tensors [N,C] but got " + s.to_string() + " and " + b.shape().to_string(); });
  check(t, a.dtype() != DType::bf16, [&] { return "row_dot expects f32 but got bf16; sum over space first"; });
  const Tensor av = a.value(), bv = b.value();
  Tensor y = t.alloc({s[0], 1}, a.dtype());
  const double flops = 2 * static_cast<double>(s.elements());
  t.launch(arithmetic_work("row_dot", Pass::forward, flops), t.ctx.kernels->row_dot, av, bv, y);
  return t.record({.name = "row_dot", .inputs = {a, b}, .output = y, .backward = [=](Grads& g) {
                     const auto give = [&](Var to, const Tensor& other) {
                       if (!g.wants(to)) return;
                       Tensor dx = g.alloc(to);
                       g.tape().launch({"row_dot", Pass::backward}, g.kernels().scale_rows, g.dy(), other, dx);
                       g.add(to, dx);
                     };
                     give(a, bv);
                     give(b, av);
                   }});
}

Var channel_modulation(Var x, Var gain, Var bias, bool relu) {
  Tape& t = *x.tape;
  check_operands("channel_modulation", x, gain);
  check_operands("channel_modulation", x, bias);
  const Shape s = x.shape(), each{s[0], s.back()};
  check(t, s.rank() == 4 && gain.shape() == each && bias.shape() == each, [&] {
    return "channel_modulation expects input [N,H,W,C], gain and bias [N,C] but got " + s.to_string() + ", " +
           gain.shape().to_string() + " and " + bias.shape().to_string();
  });
  const Tensor xv = x.value(), gv = gain.value(), bv = bias.value();
  Tensor y = t.alloc(s, x.dtype());
  t.launch({"channel_modulation", Pass::forward}, t.ctx.kernels->channel_modulation_forward, relu, xv, gv, bv, y);
  return t.record({.name = "channel_modulation", .inputs = {x, gain, bias}, .output = y, .backward = [=](Grads& g) {
                     Tensor dx = g.wants(x) ? g.alloc(x) : Tensor{};
                     Tensor dgain = g.alloc(gain), dbias = g.alloc(bias);
                     g.tape().launch({"channel_modulation", Pass::backward}, g.kernels().channel_modulation_backward,
                                     relu, xv, gv, bv, g.dy(), dx, dgain, dbias);
                     if (dx) g.add(x, dx);
                     g.add_or_recycle(gain, dgain);
                     g.add_or_recycle(bias, dbias);
                   }});
}

}  // namespace poise
