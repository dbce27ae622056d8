// The options that are stored with a run.
#pragma once
#include <string>

#include "apps/options/options.h"

namespace poise {

// The run directory that `source` is, or in whose folder of checkpoints it lies; "" if there is none.
std::string run_of(const std::string& source);

// What config.toml says; its problems are those of the set. Error(checkpoint) if `run` is no run directory.
OptionSet stored_options(const std::string& run);

}  // namespace poise
