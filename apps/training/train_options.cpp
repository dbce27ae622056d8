#include "apps/training/train_options.h"

#include <utility>

#include "apps/console/flag_reader.h"

namespace poise {

std::optional<DiffAugmentOptions> diff_augment_of(const std::string& text) {
  DiffAugmentOptions policies;
  if (text == "none") return policies;
  for (const std::string& word : split_at_commas(text)) {
    bool* policy = word == "color"         ? &policies.color
                   : word == "translation" ? &policies.translation
                   : word == "cutout"      ? &policies.cutout
                                           : nullptr;
    if (!policy || *policy) return std::nullopt;
    *policy = true;
  }
  return policies;
}

std::string to_string(const DiffAugmentOptions& policies) {
  std::string text;
  for (const auto& [wanted, name] :
       {std::pair{policies.color, "color"}, {policies.translation, "translation"}, {policies.cutout, "cutout"}}) {
    if (wanted) text += (text.empty() ? "" : ",") + std::string(name);
  }
  return text.empty() ? "none" : text;
}

int64_t TrainOptions::decay_ends() const {
  return decay_end == 0 && learning_rate_decay == LearningRateDecay::linear ? iterations : decay_end;
}

AdamOptions TrainOptions::adam(Network network) const {
  const int64_t updates = network == Network::generator ? 1 : n_critic;  // of this network per iteration
  return {.beta1 = adam_beta1,
          .beta2 = adam_beta2,
          .eps = adam_eps,
          .schedule = {.decay_begin = static_cast<uint64_t>(updates * decay_start),
                       .decay_end = static_cast<uint64_t>(updates * decay_ends()),
                       .ema_start = static_cast<uint64_t>(updates * ema_start)}};
}

SparseOptions TrainerOptions::scheduled_sparse() const {
  SparseOptions scheduled = sparse;
  if (scheduled.schedule_iterations == 0) scheduled.schedule_iterations = train.iterations;
  return scheduled;
}

}  // namespace poise
