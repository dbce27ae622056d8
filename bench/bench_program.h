// Helpers for the command lines of the benchmarks.
#pragma once
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>
#include <iostream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "apps/console/program.h"
#include "apps/console/suggestion.h"
#include "engine/sparse/cell.h"
#include "kernels/core/error.h"

namespace poise {

// Parses argv into the variables of `app`. Returns false after printing --help. Error(usage) for invalid flags.
inline bool parse_flags(CLI::App& app, int argc, char** argv) {
  try {
    app.parse(argc, argv);
    return true;
  } catch (const CLI::CallForHelp&) {
    print_result(app.help());
    return false;
  } catch (const CLI::ParseError& error) {
    fail(ErrorKind::usage, error.what());
  }
}

inline CLI::Validator device_name(bool with_auto = true) {
  return with_auto ? CLI::Validator(CLI::IsMember({"auto", "cpu", "cuda", "emulated"}))
                   : CLI::Validator(CLI::IsMember({"cuda", "emulated"}));
}
inline CLI::Validator precision_name() { return CLI::IsMember({"auto", "fp32", "tf32", "bf16"}); }

// Parses the value of an option, such as "16x16". Error(usage) that names the option if it is not a cell.
inline Cell cell_named(const std::string& option, const std::string& text) {
  const std::optional<Cell> cell = cell_of(text);
  if (!cell) fail(ErrorKind::usage, option + ": expected a form like 4x1 or 16x16-all-taps but got " + text);
  return *cell;
}

// Executes commands from standard input, one per line, until it ends; each prints a line. Adds two commands: memory
// prints the peak of the process in MiB, and quit prints the same and ends. Error(usage) for unknown commands.
inline int serve(const std::vector<std::pair<std::string, std::function<std::string()>>>& commands) {
  std::vector<std::string> names;
  for (const auto& command : commands) names.push_back(command.first);
  names.insert(names.end(), {"memory", "quit"});
  for (std::string line; std::getline(std::cin, line);) {
    if (line == "memory" || line == "quit") {
      print_result(fmt::format("{:.1f}\n", peak_memory_mib()));
      if (line == "quit") break;
      continue;
    }
    const auto command = std::find_if(commands.begin(), commands.end(), [&](const auto& c) { return c.first == line; });
    if (command == commands.end()) {
      fail(ErrorKind::usage, "--serve: expected " + join_alternatives(names) + " but got \"" + line + "\"");
    }
    print_result(command->second() + "\n");
  }
  return 0;
}

}  // namespace poise
