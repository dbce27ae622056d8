// What options of [train] mean together.
#pragma once
#include <optional>
#include <string>

#include "apps/options/options.h"
#include "kernels/train/diff_augment.h"

namespace poise {

// Fills in what 0 leaves to other options (decay_end), and notes what does not fit together as problems.
void complete_training_options(OptionSet& options);

// "none", or some of "color,translation,cutout"; nothing for any other text.
std::optional<DiffAugmentOptions> diff_augment_of(const std::string& text);

}  // namespace poise
