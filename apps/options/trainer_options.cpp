#include "apps/options/trainer_options.h"

#include "apps/options/device_choice.h"
#include "apps/options/sparse_methods.h"
#include "apps/options/training_options.h"

namespace poise {
namespace {

GanLoss loss_of(const std::string& name) {
  if (name == "bce") return GanLoss::bce;
  return name == "wasserstein" ? GanLoss::wasserstein : GanLoss::hinge;
}

}  // namespace

TrainerOptions trainer_options(const Settings& s) {
  TrainerOptions o;
  o.model = {
      .name = s.model, .width_g = s.width_g, .width_d = s.width_d, .latent_size = s.latent_size, .classes = s.classes};
  o.init = init_scheme_of(s.init).value_or(InitScheme::pytorch);
  o.loss = loss_of(s.loss);
  o.batch_size_d = s.batch_size_d;
  o.batch_size_g = s.batch_size_g;
  o.n_critic = s.n_critic;
  o.learning_rate_g = s.learning_rate_g;
  o.learning_rate_d = s.learning_rate_d;
  o.adam = {.beta1 = s.adam_beta1, .beta2 = s.adam_beta2, .eps = s.adam_eps};
  o.ema_decay = s.ema_decay;
  o.decay_start = s.decay_start;
  o.decay_end = s.decay_end;
  o.ema_start = s.ema_start;
  o.accumulate = s.accumulate;
  o.augment = diff_augment_of(s.diff_augment).value_or(DiffAugmentOptions{});
  o.flip = s.flip;
  o.seed = static_cast<uint64_t>(s.seed);
  o.sparse = sparse_options(s);
  const DeviceChoice choice = choose_device(s);
  o.device = choice.device;
  o.precision = choice.precision;
  o.graphs = s.graph;
  o.data_placement = data_placement_of(s.data_placement);
  return o;
}

EvaluationOptions evaluation_options(const Settings& s) {
  return {.metric = s.eval_metric,
          .reference = s.eval_reference,
          .inception = s.inception,
          .images = s.eval_images,
          .dataset = s.dataset,
          .split = s.split};
}

}  // namespace poise
