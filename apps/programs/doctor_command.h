// inspect_run doctor: would training work here?
#pragma once
#include "apps/console/command_line.h"

namespace poise {

CommandLineSpec doctor_command_line();
int run_doctor(const CommandLine& args);  // the exit code

}  // namespace poise
