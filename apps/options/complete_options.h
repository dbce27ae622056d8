// What options mean together.
#pragma once
#include "apps/options/options.h"

namespace poise {

// Fills in what 0 leaves to the method or to other options (decay_end, density_d, band_low, band_high, update_every_d,
// schedule_iterations), and notes what does not fit together as problems of `options`. Throws nothing of its own.
void complete_options(OptionSet& options);

}  // namespace poise
