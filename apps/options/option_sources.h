// Reads options from presets, files and the environment.
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

// Reads [group] key = value into `options`. If the file begins with base = "NAME", reads the preset of that name first.
// Errors in the file, or in reading it, become problems of `options`; nothing is thrown.
void read_options_preset(const std::string& name, OptionSet& options);
void read_options_file(const std::string& path, const std::string& origin, OptionSet& options);

// Reads POISE_<KEY>=value from the entries of `environment` (null-terminated, like environ). A POISE_ name that is
// neither an option nor one of the few others is a problem: probably a typo. Options of the kind `skip` are ignored.
void read_options_environment(const char* const* environment, OptionSet& options,
                              std::optional<OnResume> skip = std::nullopt);

}  // namespace poise
