#include "apps/report/html_execution.h"

#include <fmt/format.h>

#include <cmath>
#include <map>

#include "apps/report/svg_chart.h"
#include "apps/training/sparse_methods.h"

namespace poise {

std::string html_execution(const RunRecord& run) {
  if (run.updates.empty()) return "";
  std::string text = "<h2>Execution</h2>\n";
  if (run.executions.empty()) {
    const auto choice = named<ExecutionChoice>(run.option("execution"));
    const std::optional<Cell> cell = cell_of(run.option("cell"));
    const std::string note = choice && cell ? masked_execution_note(*choice, *cell) : "";  // "" for another version
    return text + fmt::format("<p>{}</p>\n", xml_escaped(note.empty() ? "No decision was logged." : note));
  }
  std::vector<const RecordedExecution*> latest;  // in the order of each pass's first decision
  std::map<std::string, size_t> places;
  for (const RecordedExecution& e : run.executions) {
    const auto [place, is_new] = places.emplace(e.layer + " " + e.pass, latest.size());
    if (is_new)
      latest.push_back(&e);
    else
      latest[place->second] = &e;
  }
  std::string rows;
  std::map<std::string, int> counts;
  for (const RecordedExecution* e : latest) {
    ++counts[e->execution];
    rows += fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td><td>{:.3f}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                        xml_escaped(e->layer), xml_escaped(e->pass), xml_escaped(e->execution), e->density,
                        std::isfinite(e->speedup) ? fmt::format("{:.1f}x", e->speedup) : "", xml_escaped(e->reason),
                        e->iteration);
  }
  text += "<p>How each pass of each layer under a mask was computed at the end: ";
  std::string separator;
  for (const auto& [execution, count] : counts) {
    text += fmt::format("{}{} {}", separator, count, xml_escaped(execution));
    separator = ", ";
  }
  return text + fmt::format(
                    ".</p>\n<details><summary>Layer by layer</summary>\n<table>\n<tr><th>layer</th><th>pass</th>"
                    "<th>execution</th><th>density</th><th>over dense</th><th>reason</th><th>since iteration</th></tr>"
                    "\n{}</table>\n</details>\n",
                    rows);
}

}  // namespace poise
