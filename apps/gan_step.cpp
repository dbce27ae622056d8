#include "apps/gan_step.h"

namespace poise {
namespace {

void update(GanStep& s, Network network, const Module& module, ParameterSlab& slab) {
  Context& ctx = s.tape->ctx;
  Scope scope(*s.tape, module.path());
  const double parameters = static_cast<double>(slab.value.elements());
  const double words = slab.ema ? 9 : 7;  // value, m, v, ema read and written; grad read
  s.tape->launch({.op = "adam",
                  .pass = Pass::update,
                  .flops = 12 * parameters,
                  .executed_flops = 12 * parameters,
                  .bytes = words * parameters * static_cast<double>(size_of(slab.value.dtype))},
                 ctx.kernels->adam, network, s.adam, s.ema_decay, slab.grad, slab.value, slab.adam_m, slab.adam_v,
                 slab.ema);
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
  update(s, Network::discriminator, d, *s.slab_d);
}

void g_step(GanStep& s, const Tensor& z) {
  Tape& tape = *s.tape;
  Context& ctx = tape.ctx;
  ctx.kernels->begin_step(ctx, Network::generator, s.adam);
  s.slab_g->zero_grad(ctx);
  s.model->discriminator->set_requires_grad(false);

  Var logits = (*s.model->discriminator)((*s.model->generator)(tape.constant(z)));
  Var loss = gan_loss_g(logits, s.loss);
  ctx.kernels->copy(ctx, loss.value(), s.loss_g);
  tape.backward(loss);
  update(s, Network::generator, *s.model->generator, *s.slab_g);
}

}  // namespace poise
