// The options that are stored with a run.
#pragma once
#include <string>

#include "apps/options/options.h"

namespace poise {

// The run directory of `source`, which is that directory or a file in its checkpoints folder; "" if there is none.
std::string run_of(const std::string& source);

// The options in config.toml, whose problems become those of the set. Error(checkpoint) if `run` is no run directory.
OptionSet stored_options(const std::string& run);

}  // namespace poise
