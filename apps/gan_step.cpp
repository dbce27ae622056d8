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

}  // namespace

void d_step(GanStep& s, const Tensor& real, const Tensor& z) {
  Tape& tape = *s.tape;
  Context& ctx = tape.ctx;
  Module& d = *s.model->discriminator;
  ctx.kernels->begin_step(ctx, Network::discriminator, s.adam);
  s.slab_d->zero_grad(ctx);
  d.set_requires_grad(true);

  Var fake;
  {
    Tape::NoGrad no_grad(tape);
    fake = (*s.model->generator)(tape.constant(z));
  }
  Var logits = (*s.model->discriminator)(concat_batch(tape.constant(real), fake));
  Var loss = gan_loss_d(logits, real.shape[0], s.loss, s.means_d);
  ctx.kernels->copy(ctx, loss.value(), s.loss_d);
  tape.backward(loss);
  update(s, Network::discriminator, d, *s.slab_d, s.mask_d);
}

void g_step(GanStep& s, const Tensor& z) {
  Tape& tape = *s.tape;
  Context& ctx = tape.ctx;
  ctx.kernels->begin_step(ctx, Network::generator, s.adam);
  s.slab_g->zero_grad(ctx);
  s.model->discriminator->set_requires_grad(false);

  Var logits = (*s.model->discriminator)((*s.model->generator)(tape.constant(z)));
  if (s.mean_g) take_mean(tape, logits, s.mean_g);
  Var loss = gan_loss_g(logits, s.loss);
  ctx.kernels->copy(ctx, loss.value(), s.loss_g);
  tape.backward(loss);
  update(s, Network::generator, *s.model->generator, *s.slab_g, s.mask_g);
}

void balance_probe(GanStep& s, const Tensor& real, const Tensor& z, Tensor& a_post, Tensor& r) {
  Tape& tape = *s.tape;
  const Tape::NoGrad no_grad(tape);
  Discriminator& d = *s.model->discriminator;
  take_mean(tape, d((*s.model->generator)(tape.constant(z))), a_post);
  take_mean(tape, d(tape.constant(real)), r);
}

}  // namespace poise
