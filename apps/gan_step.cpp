#include "apps/gan_step.h"

namespace poise {
namespace {

void update(GanStep& s, Network network, const Module& module, ParameterSlab& slab, const Tensor& mask) {
  Context& ctx = s.tape->ctx;
  Scope scope(*s.tape, module.path());
  const double parameters = static_cast<double>(slab.value.elements());
  const double words = slab.ema ? 9 : 7;  // value, m, v, ema read and written; grad read
  s.tape->launch({.op = "adam",
                  .pass = Pass::update,
                  .flops = 12 * parameters,
                  .executed_flops = 12 * parameters,
                  .bytes = words * parameters * static_cast<double>(size_of(slab.value.dtype))},
                 ctx.kernels->adam, network, s.adam, s.ema_decay, slab.grad, mask, slab.value, slab.adam_m, slab.adam_v,
                 slab.ema);
}

void take_mean(Tape& tape, Var logits, Tensor& mean) {
  tape.launch({.op = "mean_logit", .bytes = static_cast<double>(logits.value().size_bytes())},
              tape.ctx.kernels->mean_logit, logits.value(), mean);
}

Var generate(GanStep& s, const Labelled& z) { return (*s.model->generator)(s.tape->constant(z.values), z.labels); }

// The classes of a, then those of b; empty where the networks know none.
Tensor concat_labels(Tape& tape, const Tensor& a, const Tensor& b) {
  if (!a) return {};
  const int64_t n_a = a.shape[0], n_b = b.shape[0];
  Tensor both = tape.alloc({n_a + n_b}, DType::i32), head = both.slice(0, n_a), tail = both.slice(n_a, n_b);
  const auto& copy = tape.ctx.kernels->copy;
  tape.launch({.op = "concat_labels", .bytes = 2 * static_cast<double>(head.size_bytes())}, copy, a, head);
  tape.launch({.op = "concat_labels", .bytes = 2 * static_cast<double>(tail.size_bytes())}, copy, b, tail);
  return both;
}

}  // namespace

void d_step(GanStep& s, const Labelled& real, const Labelled& z) {
  Tape& tape = *s.tape;
  Context& ctx = tape.ctx;
  Module& d = *s.model->discriminator;
  ctx.kernels->begin_step(ctx, Network::discriminator, s.adam);
  s.slab_d->zero_grad(ctx);
  d.set_requires_grad(true);

  Var fake;
  {
    Tape::NoGrad no_grad(tape);
    fake = generate(s, z);
  }
  const Tensor labels = concat_labels(tape, real.labels, z.labels);
  Var logits = (*s.model->discriminator)(concat_batch(tape.constant(real.values), fake), labels);
  Var loss = gan_loss_d(logits, real.values.shape[0], s.loss, s.means_d);
  ctx.kernels->copy(ctx, loss.value(), s.loss_d);
  tape.backward(loss);
  update(s, Network::discriminator, d, *s.slab_d, s.mask_d);
}

void g_step(GanStep& s, const Labelled& z) {
  Tape& tape = *s.tape;
  Context& ctx = tape.ctx;
  ctx.kernels->begin_step(ctx, Network::generator, s.adam);
  s.slab_g->zero_grad(ctx);
  s.model->discriminator->set_requires_grad(false);

  Var logits = (*s.model->discriminator)(generate(s, z), z.labels);
  if (s.mean_g) take_mean(tape, logits, s.mean_g);
  Var loss = gan_loss_g(logits, s.loss);
  ctx.kernels->copy(ctx, loss.value(), s.loss_g);
  tape.backward(loss);
  update(s, Network::generator, *s.model->generator, *s.slab_g, s.mask_g);
}

void balance_probe(GanStep& s, const Labelled& real, const Labelled& z, Tensor& a_post, Tensor& r) {
  Tape& tape = *s.tape;
  const Tape::NoGrad no_grad(tape);
  Discriminator& d = *s.model->discriminator;
  take_mean(tape, d(generate(s, z), z.labels), a_post);
  take_mean(tape, d(tape.constant(real.values), real.labels), r);
}

}  // namespace poise
