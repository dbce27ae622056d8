// inspect_run export: a network of a run as a file for PyTorch, ONNX runtimes, or sample_gan elsewhere.
#pragma once
#include "apps/console/command_line.h"

namespace poise {

CommandLineSpec export_command_line();
int run_export(const CommandLine& args);  // the exit code

}  // namespace poise
