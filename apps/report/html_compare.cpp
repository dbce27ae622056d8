#include "apps/report/html_compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "apps/console/program.h"
#include "apps/console/progress.h"
#include "apps/report/html_page.h"

namespace poise {
namespace {

// The quantity on a chart's x axis. `key`: in train.jsonl; "" for iterations.
struct Axis {
  const char *key, *label;
  double unit;
};
constexpr Axis kAxes[] = {{"", "iteration (generator steps)", 1},
                          {"seconds", "training time (hours)", 3600},
                          {"executed_flops", "executed arithmetic (PFLOP)", 1e15}};

struct Quantity {
  std::string key, label, caption;
  bool from_zero = false;
};

class ComparePage {
 public:
  explicit ComparePage(const std::vector<RunRecord>& runs) : runs_(runs) {}

  std::string text() {
    std::string names;
    for (const RunRecord& run : runs_) names += (names.empty() ? "" : ", ") + run.name;
    body_ += fmt::format("<h1>{}</h1>\n", xml_escaped(names));
    results();
    differences();
    for (const Quantity& quantity : quantities()) figures(quantity);
    body_ += fmt::format("<p>Poise {}, {}</p>\n", xml_escaped(version()), iso_time_now());
    return html_page(names, body_);
  }

 private:
  // A row with one cell per run; no row if all cells are empty.
  void row(const std::string& name, const std::vector<std::string>& cells) {
    if (std::all_of(cells.begin(), cells.end(), [](const std::string& cell) { return cell.empty(); })) return;
    body_ += fmt::format("<tr><th>{}</th>", xml_escaped(name));
    for (const std::string& cell : cells) body_ += fmt::format("<td>{}</td>", xml_escaped(cell));
    body_ += "</tr>\n";
  }
  template <class F>
  void row_of(const std::string& name, const F& cell) {
    std::vector<std::string> cells;
    for (const RunRecord& run : runs_) cells.push_back(cell(run));
    row(name, cells);
  }
  void begin_table() {
    body_ += "<table>\n";
    row_of("run", [](const RunRecord& run) { return run.name; });
  }

  void results() {
    const auto number = [](double value, const char* form) {
      return std::isfinite(value) ? fmt::format(fmt::runtime(form), value) : std::string();
    };
    begin_table();
    row_of("iterations", [](const RunRecord& run) {
      return fmt::format("{} of {}", format_count(run.last_iteration()), run.option("iterations"));
    });
    row_of("training time", [](const RunRecord& run) {
      return run.last("seconds") > 0 ? format_duration(run.last("seconds")) : std::string();
    });
    row_of("executed PFLOP", [&](const RunRecord& run) { return number(run.last("executed_flops") / 1e15, "{:.4g}"); });
    row_of("share of dense arithmetic", [&](const RunRecord& run) {
      return number(100 * run.last("executed_flops") / run.last("flops"), "{:.1f}%");
    });
    row_of("density of G", [&](const RunRecord& run) { return number(run.last("density_g"), "{:.4g}"); });
    row_of("density of D", [&](const RunRecord& run) { return number(run.last("density_d"), "{:.4g}"); });
    for (const std::string& name : metric_names()) {
      row_of(name, [&](const RunRecord& run) {
        for (const RunRecord::Metric& metric : run.metrics())
          if (metric.name == name) return metric.text();
        return std::string();
      });
    }
    row_of("state", [](const RunRecord& run) { return run.last_line; });
    body_ += "</table>\n";
  }

  // The options and environment values that are not the same for all runs.
  void differences() {
    const auto differ = [&](const auto& value) {
      return std::any_of(runs_.begin(), runs_.end(),
                         [&](const RunRecord& run) { return value(run) != value(runs_[0]); });
    };
    body_ += "<h2>What differs</h2>\n";
    begin_table();
    std::set<std::string> seen;
    for (const RunRecord& run : runs_) {
      for (const RecordedOption& option : run.options) {
        const auto value = [&](const RunRecord& each) { return each.option(option.key); };
        if (seen.insert(option.key).second && differ(value)) row_of(option.key, value);
      }
    }
    for (const char* key : {"poise", "device_name", "threads", "data_crc"}) {
      const auto value = [&](const RunRecord& run) {
        for (const auto& [name, text] : run.environment)
          if (name == key) return text;
        return std::string();
      };
      if (differ(value)) row_of(key, value);
    }
    body_ += "</table>\n";
  }

  std::vector<std::string> metric_names() const {
    std::vector<std::string> names;
    for (const RunRecord& run : runs_) {
      for (const RunRecord::Metric& metric : run.metrics()) {
        if (std::find(names.begin(), names.end(), metric.name) == names.end()) names.push_back(metric.name);
      }
    }
    return names;
  }

  std::vector<Quantity> quantities() const {
    std::vector<Quantity> all;
    for (const std::string& name : metric_names()) all.push_back({name, name, metric_caption(name), true});
    all.push_back({"loss_g", "loss of G", "Loss of the generator"});
    all.push_back({"loss_d", "loss of D", "Loss of the discriminator"});
    all.push_back({"balance_ratio_mean", "balance ratio", "Balance ratio, mean over its window"});
    all.push_back({"density_g", "density of G", "Share of G's weights that are alive", true});
    all.push_back({"density_d", "density of D", "Share of D's weights that are alive", true});
    return all;
  }

  // The same points, with x as the value that the axis had at their iteration.
  static Points along(const RunRecord& run, const Points& points, const Axis& axis) {
    if (!*axis.key) return points;
    const Points& places = run.of(axis.key);
    Points moved;
    for (size_t at = 0, i = 0; i < points.size(); ++i) {
      while (at < places.size() && places[at].first < points[i].first) ++at;
      if (at == places.size()) break;
      if (places[at].first == points[i].first) moved.emplace_back(places[at].second / axis.unit, points[i].second);
    }
    return moved;
  }

  void figures(const Quantity& quantity) {
    bool varies = false;
    std::string text;
    for (const Axis& axis : kAxes) {
      LineChart chart{.title = quantity.label + " by " + axis.label,
                      .x_label = axis.label,
                      .y_label = quantity.label,
                      .y_from_zero = quantity.from_zero};
      for (size_t i = 0; i < runs_.size(); ++i) {
        const Points points = along(runs_[i], runs_[i].of(quantity.key), axis);
        varies = varies || std::any_of(points.begin(), points.end(), [&](const auto& point) {
                   return std::isfinite(point.second) && point.second != 1;  // always 1: a dense run
                 });
        add_with_mean(chart, points, runs_[i].name, static_cast<int>(i));
      }
      if (!chart.series.empty()) text += "<figure>\n" + svg_line_chart(chart) + "</figure>\n";
    }
    if (varies) {
      body_ +=
          fmt::format("<h2>{}</h2>\n<p>{}</p>\n{}", xml_escaped(quantity.label), xml_escaped(quantity.caption), text);
    }
  }

  const std::vector<RunRecord>& runs_;
  std::string body_;
};

}  // namespace

std::string html_compare(const std::vector<RunRecord>& runs) { return ComparePage(runs).text(); }

}  // namespace poise
