#include "apps/run/execution_tally.h"

#include <fmt/format.h>

#include "engine/sparse/execution.h"

namespace poise {

void ExecutionTally::add(const std::string& layer, const std::string& pass, const std::string& execution) {
  latest_[{layer, pass}] = execution;
}

std::string ExecutionTally::text() const {
  std::map<std::string, int> kinds;
  int sparse = 0;
  for (const auto& [pass, execution] : latest_) {
    if (execution == name_of(Execution::dense)) continue;
    ++kinds[execution];
    ++sparse;
  }
  std::string text;
  for (const auto& [name, count] : kinds) text += fmt::format("{}{} {}", text.empty() ? " (" : ", ", count, name);
  return fmt::format("{} of {} passes of masked layers are sparse{}; report.html lists them by layer", sparse,
                     latest_.size(), text.empty() ? "" : text + ")");
}

}  // namespace poise
