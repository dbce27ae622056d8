// inspect_run compare and masks: runs as pictures.
#pragma once
#include "apps/console/command_line.h"

namespace poise {

CommandLineSpec compare_command_line();
int run_compare(const CommandLine& args);  // the exit code

CommandLineSpec masks_command_line();
int run_masks(const CommandLine& args);  // the exit code

}  // namespace poise
