#include "apps/training/gan_step.h"

#include <initializer_list>
#include <vector>

namespace poise {
namespace {

void update(GanStep& s, Network network, const Module& module, ParameterSlab& slab, const Tensor& mask,
            GradientExchange* exchange) {
  Scope scope(*s.tape, module.path());
  if (exchange) exchange->finish(*s.tape);
  const double parameters = static_cast<double>(slab.value.elements());
  AdamOptions adam = s.train.adam(network);
  adam.dead_moments = s.dead_moments;
  const double words = slab.ema ? 9 : 7;  // value, m, v and ema are read and written, grad is read
  s.tape->launch(
      {.op = "adam",
       .pass = Pass::update,
       .flops = 12 * parameters,
       .executed_flops = 12 * parameters,
       .bytes = words * parameters * static_cast<double>(size_of(slab.value.dtype))},
      s.tape->ctx.kernels->adam, network, adam, s.train.ema_decay,
      AdamOperands{
          .grad = slab.grad, .mask = mask, .value = slab.value, .m = slab.adam_m, .v = slab.adam_v, .ema = slab.ema});
}

void take_mean(Tape& tape, Var logits, Tensor& mean) {
  tape.launch({.op = "mean_logit", .bytes = static_cast<double>(logits.value().size_bytes())},
              tape.ctx.kernels->mean_logit, logits.value(), mean);
}

Var generate(GanStep& s, const Labelled& z) {
  Tape& tape = *s.tape;
  const Var derived = s.slab_g->derive_weights(tape, *s.model->generator);
  const Var images = (*s.model->generator)(tape.constant(z.values), z.labels);
  if (derived.tape && !tape.records_gradients()) tape.ctx.arena->recycle(tape.take_if_unread(derived));
  return images;
}

// The classes of a, then those of b; empty if the networks are not conditional.
Tensor concat_labels(Tape& tape, const Tensor& a, const Tensor& b) {
  return a ? concat_batch(tape.constant(a), tape.constant(b)).value() : Tensor{};
}

// Augments x for D. `first`: the index of its first image among all images that this step augments.
Var augmented(GanStep& s, Var x, int64_t first) {
  if (!s.train.diff_augment.any()) return x;
  DiffAugmentOptions options = s.train.diff_augment;
  options.first_image = first;
  return diff_augment(x, options);
}

// This process's share of part `index` of `count` equal parts of a batch.
struct Part {
  int64_t index, count;
  BatchShare share;
  int64_t size(const Labelled& all) const { return all.values.shape[0] / (count * share.ranks); }
  bool is_last() const { return index + 1 == count; }
  int64_t first(const Labelled& all) const { return (index * share.ranks + share.rank) * size(all); }
  Labelled of(const Labelled& all) const {
    return {all.values.slice(first(all), size(all)), all.labels ? all.labels.slice(first(all), size(all)) : Tensor{}};
  }
};

// Calls f(part) for each part of a step. f writes to `results` [1], which in the end hold the means over the parts.
template <class F>
void for_each_part(GanStep& s, std::initializer_list<Tensor> results, const F& f) {
  Tape& tape = *s.tape;
  const KernelTable& kernels = *tape.ctx.kernels;
  const int64_t count = s.train.accumulate;
  std::vector<Tensor> kept;  // [count] for each result
  for (const Tensor& result : results) {
    if (count > 1) kept.push_back(tape.alloc({count}, result.dtype));
  }
  for (int64_t i = 0; i < count; ++i) {
    tape.mode = i == 0 ? Mode::train : Mode::evaluate_batch;
    f(Part{i, count, s.share});
    for (size_t r = 0; r < kept.size(); ++r) {
      Tensor slot = kept[r].slice(i, 1);
      kernels.copy(tape.ctx, results.begin()[r], slot);
    }
  }
  tape.mode = Mode::train;
  for (size_t r = 0; r < kept.size(); ++r) {
    Tensor mean = results.begin()[r];
    kernels.mean_logit(tape.ctx, kept[r], mean);
  }
}

}  // namespace

void d_step(GanStep& s, const Labelled& all_real, const Labelled& all_z) {
  Tape& tape = *s.tape;
  Discriminator& d = *s.model->discriminator;
  tape.ctx.kernels->begin_step(tape.ctx, Network::discriminator, s.train.adam(Network::discriminator));
  d.set_requires_grad(true);

  for_each_part(s, {s.loss_d, s.means_d.slice(0, 1), s.means_d.slice(1, 1)}, [&](const Part& part) {
    const Labelled real = part.of(all_real), z = part.of(all_z);
    Var fake;
    {
      Tape::NoGrad no_grad(tape);
      fake = generate(s, z);
    }
    fake = augmented(s, fake, all_real.values.shape[0] + part.first(all_z));
    const Var shown = augmented(s, tape.constant(real.values), part.first(all_real));
    const Tensor labels = concat_labels(tape, real.labels, z.labels);
    Var logits = d(concat_batch(shown, fake), labels);
    Var loss = gan_loss_d(logits, real.values.shape[0], s.train.loss, s.means_d, s.loss_d);
    if (s.exchange_d && part.is_last()) s.exchange_d->begin_with(tape);
    tape.backward(loss, 1.0 / static_cast<double>(part.count));
  });
  update(s, Network::discriminator, d, *s.slab_d, s.mask_d, s.exchange_d);
}

void g_step(GanStep& s, const Labelled& all_z) {
  Tape& tape = *s.tape;
  Discriminator& d = *s.model->discriminator;
  tape.ctx.kernels->begin_step(tape.ctx, Network::generator, s.train.adam(Network::generator));
  d.set_requires_grad(false);

  const auto learn = [&](const Part& part) {
    const Labelled z = part.of(all_z);
    Var logits = d(augmented(s, generate(s, z), part.first(all_z)), z.labels);
    if (s.mean_g) take_mean(tape, logits, s.mean_g);
    Var loss = gan_loss_g(logits, s.train.loss, s.loss_g);
    if (s.exchange_g && part.is_last()) s.exchange_g->begin_with(tape);
    tape.backward(loss, 1.0 / static_cast<double>(part.count));
  };
  s.mean_g ? for_each_part(s, {s.loss_g, s.mean_g}, learn) : for_each_part(s, {s.loss_g}, learn);
  update(s, Network::generator, *s.model->generator, *s.slab_g, s.mask_g, s.exchange_g);
}

void balance_probe(GanStep& s, const Labelled& all_real, const Labelled& all_z, Tensor& a_post, Tensor& r) {
  Tape& tape = *s.tape;
  const Tape::NoGrad no_grad(tape);
  Discriminator& d = *s.model->discriminator;
  s.slab_g->make_forms(tape, *s.model->generator);  // the G step has changed the weights; no effect without kept forms
  for_each_part(s, {a_post}, [&](const Part& part) {
    const Labelled z = part.of(all_z);
    take_mean(tape, d(augmented(s, generate(s, z), part.first(all_z)), z.labels), a_post);
  });
  for_each_part(s, {r}, [&](const Part& part) {
    const Labelled real = part.of(all_real);
    const int64_t first = all_z.values.shape[0] + part.first(all_real);
    take_mean(tape, d(augmented(s, tape.constant(real.values), first), real.labels), r);
  });
}

}  // namespace poise
