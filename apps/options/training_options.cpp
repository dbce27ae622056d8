#include "apps/options/training_options.h"

#include <fmt/format.h>

namespace poise {

std::optional<DiffAugmentOptions> diff_augment_of(const std::string& text) {
  DiffAugmentOptions policies;
  if (text == "none") return policies;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string word = text.substr(begin, end - begin);
    bool* policy = word == "color"         ? &policies.color
                   : word == "translation" ? &policies.translation
                   : word == "cutout"      ? &policies.cutout
                                           : nullptr;
    if (!policy || *policy) return std::nullopt;
    *policy = true;
    begin = end + 1;
  }
  return policies;
}

void complete_training_options(OptionSet& options) {
  const Settings& s = options.settings();
  if (!diff_augment_of(s.diff_augment)) {
    options.add_problem(
        fmt::format("diff_augment: expected none, or some of color,translation,cutout, but got \"{}\" [{}]",
                    s.diff_augment, options.origin("diff_augment")));
  }
  for (const auto& [key, batch] : {std::pair{"batch_size_d", s.batch_size_d}, {"batch_size_g", s.batch_size_g}}) {
    if (batch % s.accumulate == 0) continue;
    options.add_problem(fmt::format("accumulate: expected a divisor of {} = {} but got {}", key, batch, s.accumulate));
  }
  if (s.learning_rate_decay == "constant") {
    if (s.decay_start != 0 || s.decay_end != 0) {
      options.add_problem("decay_start, decay_end: the learning rates are constant; set learning_rate_decay = linear");
    }
    return;
  }
  if (s.decay_end == 0) options.set("decay_end", s.iterations, "iterations");
  if (s.decay_start >= s.decay_end) {
    options.add_problem(
        fmt::format("decay_start: expected less than decay_end = {} but got {}", s.decay_end, s.decay_start));
  }
}

}  // namespace poise
