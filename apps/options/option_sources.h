// Where options come from other than their defaults: presets, files, the environment.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "apps/options/options.h"

namespace poise {

// Presets are files NAME.toml in the folder of the environment variable POISE_PRESETS, if set, and in apps/presets.
std::vector<std::string> preset_names();
// The path of a preset; "" if there is none of that name.
std::string find_preset(const std::string& name);

// Reads [group] key = value into `options`; before them, where the file begins with base = "NAME", the preset of that
// name. What is wrong with the file, or in it, becomes a problem of `options`; nothing is thrown.
void read_options_preset(const std::string& name, OptionSet& options);
void read_options_file(const std::string& path, const std::string& origin, OptionSet& options);

// POISE_<KEY>=value among the entries of `environment` (as environ: null-terminated). A POISE_ name that is neither an
// option nor one of the few others is an error: probably a typo. Options of the kind `skip` are left.
void read_options_environment(const char* const* environment, OptionSet& options,
                              std::optional<OnResume> skip = std::nullopt);

}  // namespace poise
