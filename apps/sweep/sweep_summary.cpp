#include "apps/sweep/sweep_summary.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/console/program.h"
#include "apps/console/progress.h"
#include "apps/report/svg_chart.h"
#include "engine/io/atomic_file.h"
#include "engine/io/system_file.h"
#include "engine/io/utf8.h"

namespace poise {
namespace {

using Json = nlohmann::ordered_json;
constexpr int kSchema = 1;

Json json_of(const Value& value) {
  return std::visit([](const auto& x) { return Json(x); }, value);
}

Json json_of(double value) { return std::isfinite(value) ? Json(value) : Json(); }

Json json_of(const Points& points) {
  Json all = Json::array();
  for (const auto& [x, y] : points) all.push_back({x, json_of(y)});
  return all;
}

Json json_of(const Assignments& values) {
  Json all = Json::object();
  for (const auto& [key, value] : without_paths(values)) all[key] = json_of(value);
  return all;
}

const char* state_of(const RunState& state) {
  if (state.finished()) return "finished";
  if (!state.failure.empty()) return "failed";
  return state.directory.empty() ? "waiting" : "begun";
}

Json json_of(const RunResult& run, const SweepResults& results) {
  Json json = {{"name", run.run->name},
               {"cell", results.cells[run.run->cell].cell->label},
               {"seed", run.run->seed},
               {"state", state_of(run.state)},
               {"iteration", run.state.iteration}};
  if (!run.state.failure.empty()) json["failure"] = run.state.failure;
  for (const Quantity& quantity : results.quantities) {
    const auto found = run.numbers.find(quantity.name);
    if (found != run.numbers.end()) json["numbers"][quantity.name] = found->second;
  }
  for (const EvaluationRecord& record : run.state.results) json["evaluations"].push_back(Json::parse(record.json));
  for (const auto& [key, points] : run.curves) json["curves"][key] = json_of(points);
  return json;
}

std::string markdown_table(const TextTable& table) {
  std::string text;
  for (size_t r = 0; r < table.size(); ++r) {
    text += fmt::format("| {} |\n", fmt::join(table[r], " | "));
    if (r > 0) continue;
    for (size_t c = 0; c < table[r].size(); ++c) text += "|---";
    text += "|\n";
  }
  return text;
}

}  // namespace

std::string plan_text(const SweepFolder& folder) {
  SweepPlan plan = folder.plan();
  plan.options = without_paths(plan.options);
  return to_toml(plan);
}

std::string sweep_state_text(const SweepResults& results) {
  size_t finished = 0, failed = 0;
  for (const RunResult& run : results.runs) {
    finished += run.state.finished();
    failed += !run.state.finished() && !run.state.failure.empty();
  }
  std::string text =
      fmt::format("{} of {} finished", finished, counted(static_cast<int64_t>(results.runs.size()), "run"));
  return failed > 0 ? text + fmt::format(", {} failed", failed) : text;
}

std::vector<std::string> unfinished_runs(const SweepResults& results) {
  std::vector<std::string> lines;
  for (const RunResult& run : results.runs) {
    if (run.state.finished()) continue;
    std::string line = fmt::format("{}: {}, iteration {} of {}", run.run->name, state_of(run.state),
                                   run.state.iteration, run.run->options.settings().train.iterations);
    if (run.state.trained) line += fmt::format(", {} evaluations missing", run.state.unevaluated.size());
    if (!run.state.failure.empty()) line += ": " + run.state.failure;
    lines.push_back(line);
  }
  return lines;
}

std::vector<std::pair<std::string, TextTable>> sweep_tables(const SweepResults& results) {
  using Kind = Quantity::Kind;
  std::vector<std::pair<std::string, TextTable>> tables;
  for (const auto& [kind, title] : {std::pair{Kind::metric, "Metrics"}, {Kind::cost, "Cost"}, {Kind::state, "Masks"}}) {
    std::vector<const Quantity*> columns;
    for (const Quantity& quantity : results.quantities)
      if (quantity.kind == kind) columns.push_back(&quantity);
    if (columns.empty()) continue;
    TextTable table(1);
    table[0].push_back("#");
    for (const std::string& key : results.varied_keys) table[0].push_back(key);
    table[0].push_back("seeds");
    for (const Quantity* column : columns) table[0].push_back(column->name);
    for (size_t i = 0; i < results.cells.size(); ++i) {
      const CellResult& cell = results.cells[i];
      std::vector<std::string> row = {fmt::format("{}", i + 1)};
      for (const auto& [key, value] : cell.varied) row.push_back(value_text(value));
      row.push_back(fmt::format("{}/{}", cell.seeds.size(), cell.cell->seeds.size()));
      for (const Quantity* column : columns) row.push_back(cell.numbers.at(column->name).text());
      table.push_back(std::move(row));
    }
    tables.emplace_back(title, std::move(table));
  }
  return tables;
}

std::string sweep_markdown(const SweepFolder& folder, const SweepResults& results) {
  std::string text = fmt::format("# Sweep\n\n{}. Mean ± standard deviation over seeds; {}, Poise {}, {}.\n",
                                 sweep_state_text(results), cpu_model(), version(), iso_time_now());
  for (const std::string& line : incomparable_runs(results)) text += "\n**Warning:** " + line + ".\n";
  for (const auto& [title, table] : sweep_tables(results)) {
    text += fmt::format("\n## {}\n\n{}", title, markdown_table(table));
  }
  if (const std::vector<std::string> missing = unfinished_runs(results); !missing.empty()) {
    text += "\n## Not finished\n\n";
    for (const std::string& line : missing) text += "- " + line + "\n";
  }
  return text + "\n## Plan\n\n```toml\n" + plan_text(folder) + "```\n";
}

std::string sweep_json(const SweepFolder& folder, const SweepResults& results) {
  const SweepPlan& plan = folder.plan();
  Json json = {{"schema", kSchema},           {"written", iso_time_now()}, {"version", version()},
               {"cpu", cpu_model()},          {"preset", plan.preset},     {"options", json_of(plan.options)},
               {"evaluate", plan.evaluations}};
  if (const auto warnings = incomparable_runs(results); !warnings.empty()) json["warnings"] = warnings;
  for (const Quantity& quantity : results.quantities) {
    Json entry = {{"name", quantity.name}};
    if (quantity.kind == Quantity::Kind::metric) entry["larger_is_better"] = quantity.larger_is_better;
    json["quantities"].push_back(entry);
  }
  for (const CellResult& cell : results.cells) {
    Json entry = {{"label", cell.cell->label}, {"options", json_of(cell.cell->values)}, {"seeds", Json::array()}};
    for (const RunResult* run : cell.seeds) entry["seeds"].push_back(run->run->seed);
    for (const auto& quantity : results.quantities) {
      const Statistic& s = cell.numbers.at(quantity.name);
      if (s.count > 0) {
        entry["numbers"][quantity.name] = {{"mean", s.mean}, {"deviation", json_of(s.deviation)}, {"seeds", s.count}};
      }
    }
    json["cells"].push_back(entry);
  }
  for (const RunResult& run : results.runs) json["runs"].push_back(json_of(run, results));
  return json.dump(1) + "\n";
}

void write_sweep_summary(const SweepFolder& folder) {
  const SweepResults results = collect_results(folder);
  const std::vector<SweepFigure> figures = sweep_figures(results);
  make_folders(folder.path() + "/figures");
  const auto write = [&](const std::string& name, const std::string& text) {
    write_file_atomically(folder.path() + "/" + name, to_utf8(text));
  };
  write("summary.json", sweep_json(folder, results));
  write("summary.md", sweep_markdown(folder, results));
  for (const SweepFigure& figure : figures) write("figures/" + figure.name + ".svg", standalone_svg(figure.svg));
  write("summary.html", sweep_page(folder, results, figures));
}

}  // namespace poise
