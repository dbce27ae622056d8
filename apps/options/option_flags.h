// The options as flags of a program: --width-g 64, and --set width_g=64.
#pragma once
#include "apps/console/command_line.h"
#include "apps/options/options.h"

namespace poise {

// Nothing here throws: what is wrong becomes a problem of the OptionSet (OptionSet::throw_if_problems).

// One flag per option of these groups, with help and default; {} means all groups.
std::vector<Flag> option_flags(const std::vector<std::string>& groups);

// What every program that plans or starts a run reads, the later over the earlier: --preset, each --config, the
// environment, --set and the flags. Bad values become problems of the result.
OptionSet options_of(const CommandLine& args);

// Takes what --set and the flags say into `options`; bad values become its problems.
void read_option_flags(const CommandLine& args, OptionSet& options);

}  // namespace poise
