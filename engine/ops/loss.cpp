// GAN losses on raw logits (kernels/dense/loss/loss.h).
#include "engine/ops/check.h"
#include "engine/ops/ops.h"

namespace poise {
namespace {

void check_logits_dtype(const char* op, Var logits) {
  check(*logits.tape, logits.dtype() != DType::bf16, [&] {
    return std::string(op) + " expects logits in f32 but got bf16; sum over space first, which leaves f32";
  });
}

// The memory of a loss: the caller's if given, otherwise from the arena.
Tensor loss_memory(Var logits, const Tensor& given) { return given ? given : logits.tape->alloc({1}, logits.dtype()); }

// The loss may be in the caller's memory, which outlives the tape's, so it is kept.
Var kept(Var loss) {
  loss.tape->keep(loss);
  return loss;
}

}  // namespace

Var gan_loss_d(Var logits, int64_t n_real, GanLoss kind, Tensor means, const Tensor& memory) {
  Tape& t = *logits.tape;
  const Shape s = logits.shape();
  check(t, s.rank() == 2 && s[1] == 1 && n_real > 0 && n_real < s[0], [&] {
    return "gan_loss_d expects logits [N,1] with 0 < n_real < N but got " + s.to_string() + " and n_real " +
           std::to_string(n_real);
  });
  check(t, means.shape == Shape{2} && means.dtype == logits.dtype(),
        [&] { return "gan_loss_d expects means [2] of the logits' dtype but got " + means.shape.to_string(); });
  check_logits_dtype("gan_loss_d", logits);
  const Tensor value = logits.value();
  Tensor loss = loss_memory(logits, memory);
  t.launch({"gan_loss_d", Pass::forward}, t.ctx.kernels->gan_loss_d_forward, kind, n_real, value, means, loss);
  return kept(t.record({.name = "gan_loss_d", .inputs = {logits}, .output = loss, .backward = [=](Grads& g) {
                          Tensor dx = g.alloc(logits);
                          g.tape().launch({"gan_loss_d", Pass::backward}, g.kernels().gan_loss_d_backward, kind, n_real,
                                          value, g.dy(), dx);
                          g.add(logits, dx);
                        }}));
}

Var gan_loss_g(Var logits, GanLoss kind, const Tensor& memory) {
  Tape& t = *logits.tape;
  const Shape s = logits.shape();
  check(t, s.rank() == 2 && s[1] == 1 && s[0] > 0,
        [&] { return "gan_loss_g expects logits [N,1] but got " + s.to_string(); });
  check_logits_dtype("gan_loss_g", logits);
  const Tensor value = logits.value();
  Tensor loss = loss_memory(logits, memory);
  t.launch({"gan_loss_g", Pass::forward}, t.ctx.kernels->gan_loss_g_forward, kind, value, loss);
  return kept(t.record(
      {.name = "gan_loss_g", .inputs = {logits}, .output = loss, .backward = [=](Grads& g) {
         Tensor dx = g.alloc(logits);
         g.tape().launch({"gan_loss_g", Pass::backward}, g.kernels().gan_loss_g_backward, kind, value, g.dy(), dx);
         g.add(logits, dx);
       }}));
}

}  // namespace poise
