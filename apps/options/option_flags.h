// Options as command-line flags: --width-g 64, and --set width_g=64.
#pragma once
#include "apps/console/command_line.h"
#include "apps/options/options.h"

namespace poise {

// Nothing here throws: errors become problems of the OptionSet (OptionSet::throw_if_problems).

// One flag per option of these groups, with help and default; {} means all groups.
std::vector<Flag> option_flags(const std::vector<std::string>& groups);

// The options of every program that plans or starts a run, from these sources, where later ones override earlier ones:
// --preset, each --config, the environment, --set and the flags. Invalid values become problems of the result.
OptionSet options_of(const CommandLine& args);

// Reads --set and the flags into `options`; invalid values become its problems.
void read_option_flags(const CommandLine& args, OptionSet& options);

}  // namespace poise
