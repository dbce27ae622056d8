// Writes the results of a sweep into its folder: summary.md (tables), summary.json (every number, by run and by cell,
// and the curves), summary.html (tables and charts on one page) and the charts as files, figures/*.svg.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "apps/sweep/sweep_results.h"

namespace poise {

// Summarises what is finished so far and lists the unfinished runs. Error(runtime) if a file cannot be written.
void write_sweep_summary(const SweepFolder& folder);

// The parts of the summary.
std::string sweep_markdown(const SweepFolder& folder, const SweepResults& results);
std::string sweep_json(const SweepFolder& folder, const SweepResults& results);
struct SweepFigure {
  std::string name, svg, caption;  // a file name without suffix
};
std::vector<SweepFigure> sweep_figures(const SweepResults& results);
std::string sweep_page(const SweepFolder& folder, const SweepResults& results, const std::vector<SweepFigure>& figures);

std::string plan_text(const SweepFolder& folder);  // in TOML, without paths
// "17 of 24 runs finished, 1 failed"
std::string sweep_state_text(const SweepResults& results);
// A line for each unfinished run: its name, its progress, and why it failed if it did.
std::vector<std::string> unfinished_runs(const SweepResults& results);

// The header row, then a row for each cell of the sweep.
using TextTable = std::vector<std::vector<std::string>>;
// One table for each kind of quantity with values: metrics, costs, states.
std::vector<std::pair<std::string, TextTable>> sweep_tables(const SweepResults& results);

}  // namespace poise
