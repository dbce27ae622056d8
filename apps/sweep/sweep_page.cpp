// The charts of a sweep, and the page that shows them with its tables.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "apps/console/program.h"
#include "apps/console/progress.h"
#include "apps/report/html_page.h"
#include "apps/report/svg_chart.h"
#include "apps/sweep/sweep_summary.h"
#include "kernels/core/integer.h"

namespace poise {
namespace {

constexpr size_t kLinesOfAChart = 5;  // the number of colours

// "FID-768, last" -> "fid-768-last"
std::string file_name_of(const std::string& title) {
  std::string name;
  for (char c : title) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (plain)
      name += c;
    else if (!name.empty() && name.back() != '-')
      name += '-';
  }
  return name;
}

std::string title_of(const std::string& key) {
  if (key == "balance_ratio_of_sums") return "balance ratio";
  return key == "density_d" ? "density of D" : key;
}

// Cells with the same value of the first varied option form a group: "dense", "static", "sdst-rigl".
std::string group_of(const CellResult& cell) {
  return cell.varied.empty() ? cell.name : value_text(cell.varied[0].second);
}

SweepFigure scatter(const SweepResults& results, const Quantity& metric) {
  ScatterChart chart{.title = metric.name + " against time",
                     .x_label = "seconds of training, measured",
                     .y_label = metric.name,
                     .groups = {},
                     .front_name = "no other is both faster and better",
                     .front = {}};
  for (size_t i = 0; i < results.cells.size(); ++i) {
    const CellResult& cell = results.cells[i];
    const Statistic &time = cell.numbers.at("seconds"), &value = cell.numbers.at(metric.name);
    if (time.count == 0 || value.count == 0) continue;
    const auto same = [&](const ScatterChart::Group& group) { return group.name == group_of(cell); };
    auto group = std::find_if(chart.groups.begin(), chart.groups.end(), same);
    if (group == chart.groups.end()) group = chart.groups.insert(group, {.name = group_of(cell), .points = {}});
    group->points.push_back({time.mean, value.mean, fmt::format("{}", i + 1)});
  }
  for (const size_t i : pareto_front(results, "seconds", metric)) {
    const CellResult& cell = results.cells[i];
    chart.front.emplace_back(cell.numbers.at("seconds").mean, cell.numbers.at(metric.name).mean);
  }
  return {
      .name = file_name_of(metric.name) + "-against-seconds",
      .svg = svg_scatter_chart(chart),
      .caption = fmt::format("{} ({} is better) against the seconds that training took, means over seeds. Numbers are "
                             "those of the tables' rows.",
                             metric.name, metric.larger_is_better ? "higher" : "lower")};
}

// Adds charts with a few cells each, all with the same axes.
void add_curves(const SweepResults& results, const std::string& key, std::vector<SweepFigure>& figures) {
  struct Line {
    const CellResult* cell;
    MeanCurve curve;
  };
  std::vector<Line> lines;
  double low = 0, high = -INFINITY, end = 0;
  for (const CellResult& cell : results.cells) {
    Line line{&cell, mean_curve(cell, key)};
    if (line.curve.mean.empty()) continue;
    for (const auto& [below, above] : line.curve.spread) {
      low = std::min(low, below);
      high = std::max(high, above);
    }
    end = std::max(end, line.curve.mean.back().first);
    lines.push_back(std::move(line));
  }
  const size_t charts = ceil_div(lines.size(), kLinesOfAChart);
  for (size_t c = 0; c < charts; ++c) {
    const size_t first = c * kLinesOfAChart, last = std::min(lines.size(), first + kLinesOfAChart);
    LineChart chart{.title = title_of(key) + " over iterations",
                    .x_label = "iteration (generator steps)",
                    .y_label = title_of(key),
                    .x_end = end,
                    .series = {},
                    .band = {},
                    .y_range = std::pair(low - (high - low) / 40, high + (high - low) / 40)};
    for (size_t i = first; i < last; ++i) {
      chart.series.push_back({.name = lines[i].cell->name,
                              .points = lines[i].curve.mean,
                              .colour = static_cast<int>(i - first),
                              .spread = lines[i].curve.spread});
    }
    figures.push_back({.name = file_name_of(title_of(key)) + (charts > 1 ? fmt::format("-{}", c + 1) : ""),
                       .svg = svg_line_chart(chart),
                       .caption = title_of(key) +
                                  " over iterations: mean over seeds, and pale one standard deviation on "
                                  "either side."});
  }
}

std::string html_table(const TextTable& table) {
  std::string html = "<table>\n";
  for (size_t r = 0; r < table.size(); ++r) {
    html += "<tr>";
    for (const std::string& text : table[r]) {
      const char* tag = r == 0 ? "th" : "td";
      html += fmt::format("<{0}>{1}</{0}>", tag, xml_escaped(text));
    }
    html += "</tr>\n";
  }
  return html + "</table>\n";
}

}  // namespace

std::vector<SweepFigure> sweep_figures(const SweepResults& results) {
  std::vector<SweepFigure> figures;
  for (const Quantity& quantity : results.quantities) {
    if (quantity.kind == Quantity::Kind::metric && quantity.at_end) figures.push_back(scatter(results, quantity));
  }
  for (const std::string& key : results.curves) add_curves(results, key, figures);
  return figures;
}

std::string sweep_page(const SweepFolder& folder, const SweepResults& results,
                       const std::vector<SweepFigure>& figures) {
  std::string body = fmt::format("<h1>Sweep</h1>\n<p>{}. Mean ± standard deviation over seeds. {}, Poise {}, {}.</p>\n",
                                 sweep_state_text(results), xml_escaped(cpu_model()), version(), iso_time_now());
  for (const std::string& line : incomparable_runs(results))
    body += "<p><b>Warning:</b> " + xml_escaped(line) + ".</p>\n";
  for (const auto& [title, table] : sweep_tables(results)) {
    body += fmt::format("<h2>{}</h2>\n{}", title, html_table(table));
  }
  if (!figures.empty()) body += "<h2>Figures</h2>\n";
  for (size_t i = 0; i < figures.size(); ++i) body += html_figure(figures[i].svg, i + 1, figures[i].caption);
  if (const std::vector<std::string> missing = unfinished_runs(results); !missing.empty()) {
    body += "<h2>Not finished</h2>\n<ul>\n";
    for (const std::string& line : missing) body += "<li>" + xml_escaped(line) + "</li>\n";
    body += "</ul>\n";
  }
  body += "<h2>Plan</h2>\n<pre>";
  std::istringstream plan(plan_text(folder));
  for (std::string line; std::getline(plan, line);) body += xml_escaped(line) + "\n";
  body += "</pre>\n";
  return html_page("Sweep", body);
}

}  // namespace poise
