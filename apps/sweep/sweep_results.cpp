#include "apps/sweep/sweep_results.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/metrics/quantile.h"
#include "models/registry.h"

namespace poise {
namespace {

// The median of the values in the second half of a run, at which a ratio has settled.
double late_median(const Points& points) {
  std::vector<double> late;
  for (const auto& [iteration, value] : points) {
    if (2 * iteration > points.back().first && std::isfinite(value)) late.push_back(value);
  }
  return quantile(late, 0.5);
}

// Sums differences from the first value, so that equal values have exactly that mean and deviation 0.
Statistic statistic_of(const std::vector<double>& values) {
  if (values.empty()) return {.count = 0, .mean = NAN, .deviation = NAN};
  const auto n = static_cast<double>(values.size());
  double sum = 0, squares = 0;
  for (const double value : values) sum += value - values[0];
  const double mean = values[0] + sum / n;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return {.count = static_cast<int64_t>(values.size()),
          .mean = mean,
          .deviation = values.size() < 2 ? NAN : std::sqrt(squares / (n - 1))};
}

class Collector {
 public:
  explicit Collector(const SweepFolder& folder) : folder_(folder) {}

  SweepResults collect() {
    for (const SweepRun& run : folder_.runs()) add_run(run);
    add_cells();
    // Metrics first, then costs, then the state of the masks.
    std::stable_sort(results_.quantities.begin(), results_.quantities.end(),
                     [](const Quantity& a, const Quantity& b) { return a.kind < b.kind; });
    const auto constant = [&](const std::string& key) {
      std::set<double> values;
      for (const RunResult& run : results_.runs) {
        const auto found = run.curves.find(key);
        if (found == run.curves.end()) continue;
        for (const auto& [iteration, value] : found->second) values.insert(value);
      }
      return values.size() <= results_.cells.size();
    };
    if (constant("density_d")) std::erase(results_.curves, "density_d");
    return std::move(results_);
  }

 private:
  using Kind = Quantity::Kind;

  void add(RunResult& result, const Quantity& quantity, double value) {
    if (!std::isfinite(value)) return;
    result.numbers[quantity.name] = value;
    const auto same = [&](const Quantity& other) { return other.name == quantity.name; };
    if (std::none_of(results_.quantities.begin(), results_.quantities.end(), same)) {
      results_.quantities.push_back(quantity);
    }
  }

  void add_curve(RunResult& result, const std::string& key, const Points& points) {
    if (points.size() < 2) return;
    result.curves[key] = points;
    if (std::find(results_.curves.begin(), results_.curves.end(), key) == results_.curves.end()) {
      results_.curves.push_back(key);
    }
  }

  // Two evaluations of the same metric differ in their arguments, which then become part of the name.
  std::string evaluated_name(const EvaluationRecord& record, const RunState& state) const {
    const auto same = [&](const EvaluationRecord& other) { return other.metric == record.metric; };
    const bool unique = std::count_if(state.results.begin(), state.results.end(), same) == 1;
    return unique ? record.metric : fmt::format("{} ({})", record.metric, record.evaluation);
  }

  void add_run(const SweepRun& run) {
    results_.runs.push_back({.run = &run, .state = folder_.state(run), .numbers = {}, .curves = {}});
    RunResult& result = results_.runs.back();
    if (!result.state.trained) return;
    const RunRecord record = read_run(result.state.directory);
    for (const auto& [key, value] : record.environment)
      if (key == "data_crc") result.data_crc = value;
    for (const EvaluationRecord& evaluated : result.state.results) {
      add(result,
          {.name = evaluated_name(evaluated, result.state),
           .larger_is_better = larger_is_better(evaluated.metric),
           .at_end = true},
          evaluated.value);
    }
    for (const RunRecord::Metric& metric : record.metrics()) {
      const bool larger = metric.larger_is_better;
      add(result, {.name = metric.name + ", last", .larger_is_better = larger, .at_end = true},
          metric.points->back().second);
      add(result, {.name = metric.name + ", best", .larger_is_better = larger}, metric.best().second);
      add_curve(result, metric.name, *metric.points);
    }
    const double dense = record.last("flops"), executed = record.last("executed_flops");
    add(result, {.name = "seconds", .kind = Kind::cost}, result.state.seconds);
    if (result.state.seconds > 0) {
      add(result, {.name = "iterations/s", .kind = Kind::cost},
          static_cast<double>(result.state.iteration) / result.state.seconds);
    }
    add(result, {.name = "FLOP dense", .kind = Kind::cost}, dense);
    add(result, {.name = "FLOP executed", .kind = Kind::cost}, executed);
    add(result, {.name = "executed/dense", .kind = Kind::cost}, executed / dense);
    add(result, {.name = "density G", .kind = Kind::state}, record.last("density_g"));
    add(result, {.name = "density D", .kind = Kind::state}, record.last("density_d"));
    const Points& ratio = record.of("balance_ratio_of_sums");
    if (!ratio.empty()) add(result, {.name = "balance ratio", .kind = Kind::state}, late_median(ratio));
    const auto finite = [](const auto& point) { return std::isfinite(point.second); };
    if (std::any_of(ratio.begin(), ratio.end(), finite)) add_curve(result, "balance_ratio_of_sums", ratio);
    add_curve(result, "density_d", record.of("density_d"));
  }

  static const Value* value_in(const SweepCell& cell, const std::string& key) {
    for (const auto& [own, value] : cell.values)
      if (own == key) return &value;
    return nullptr;
  }

  void add_cells() {
    const std::vector<SweepCell>& cells = folder_.cells();
    std::vector<std::string> keys;
    for (const SweepCell& cell : cells) {
      for (const auto& [key, value] : cell.values)
        if (std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(key);
    }
    for (const std::string& key : keys) {
      const Value* first = value_in(cells[0], key);
      const auto other = [&](const SweepCell& cell) {
        const Value* value = value_in(cell, key);
        return !value != !first || (value && *value != *first);
      };
      if (std::any_of(cells.begin(), cells.end(), other)) results_.varied_keys.push_back(key);
    }
    for (size_t i = 0; i < cells.size(); ++i) {
      CellResult result{.cell = &cells[i], .varied = {}, .name = "", .seeds = {}, .numbers = {}};
      for (const std::string& key : results_.varied_keys) {
        const Value* value = value_in(cells[i], key);
        result.varied.emplace_back(key, value ? *value : Value(std::string()));
        if (!value) continue;
        result.name += (result.name.empty() ? "" : " ") + value_text(*value);
      }
      if (result.name.empty()) result.name = cells[i].label;
      for (const RunResult& run : results_.runs)
        if (run.run->cell == i && run.state.trained) result.seeds.push_back(&run);
      for (const Quantity& quantity : results_.quantities) result.numbers[quantity.name] = over_seeds(result, quantity);
      results_.cells.push_back(std::move(result));
    }
  }

  static Statistic over_seeds(const CellResult& cell, const Quantity& quantity) {
    std::vector<double> values;
    for (const RunResult* run : cell.seeds) {
      const auto found = run->numbers.find(quantity.name);
      if (found != run->numbers.end()) values.push_back(found->second);
    }
    return statistic_of(values);
  }

  const SweepFolder& folder_;
  SweepResults results_;
};

// For each name of something that should be the same in all runs: its variants, and the runs that had each.
using Sightings = std::map<std::string, std::map<std::string, std::vector<std::string>>>;

// A line for each name with more than one variant, with a remedy.
std::vector<std::string> differences(const Sightings& sightings, const std::string& remedy) {
  std::vector<std::string> lines;
  for (const auto& [name, seen] : sightings) {
    if (seen.size() < 2) continue;
    std::string line = name + " changed while the sweep was under way, so these runs do not compare:";
    for (const auto& [what, runs] : seen) line += fmt::format(" {} in {};", what, fmt::join(runs, ", "));
    lines.push_back(line + " " + remedy);
  }
  return lines;
}

std::string images_of(const SweepRun& run) {
  const Settings settings = run.options.settings();
  const DataOptions& data = settings.data;
  const int64_t side = data.image_size > 0 ? data.image_size : image_side_of(settings.model.name);
  return fmt::format("{} ({}, {}, classes {}, {}x{})", data.data, data.dataset, data.split, data.only_classes, side,
                     side);
}

std::vector<std::string> changed_data(const SweepResults& results) {
  Sightings runs;  // by options and by crc
  for (const RunResult& result : results.runs) {
    if (result.data_crc.empty()) continue;
    runs[images_of(*result.run)]["crc " + result.data_crc].push_back(result.run->name);
  }
  return differences(runs, "remove those of the old images from runs/ to train them again");
}

// $NAMES in the arguments of an evaluation may refer to other files when a sweep is continued.
std::vector<std::string> changed_evaluations(const SweepResults& results) {
  Sightings runs;  // by metric, arguments and training images (a possible reference); then by what the value depends on
  for (const RunResult& result : results.runs) {
    for (const EvaluationRecord& record : result.state.results) {
      const nlohmann::json all = nlohmann::json::parse(record.json);
      std::vector<std::string> facts;
      for (const char* key : {"network_hash", "reference_split", "reference_images", "reference_data_crc"}) {
        const auto found = all.find(key);
        if (found == all.end()) continue;
        facts.push_back(fmt::format("{} {}", key, found->is_string() ? found->get<std::string>() : found->dump()));
      }
      const std::string what =
          fmt::format("{} ({}) of runs on {}", record.metric, record.evaluation, images_of(*result.run));
      runs[what][fmt::format("{}", fmt::join(facts, ", "))].push_back(result.run->name);
    }
  }
  return differences(runs, "remove those of the old files from evaluations/ to do them again");
}

// Finished runs keep their length when a sweep is restarted with fewer iterations.
std::string longer_runs(const SweepResults& results) {
  std::vector<std::string> longer;
  for (const RunResult& result : results.runs) {
    const int64_t asked = result.run->options.settings().train.iterations;
    if (result.state.trained && result.state.iteration > asked)
      longer.push_back(fmt::format("{} ({} instead of {})", result.run->name, result.state.iteration, asked));
  }
  if (longer.empty()) return "";
  return fmt::format(
      "these runs have more iterations than the sweep asks, and all numbers are of their end: {}; ask for as "
      "many, or give the sweep another folder",
      fmt::join(longer, ", "));
}

}  // namespace

std::string Statistic::text() const {
  if (count == 0) return "-";
  return fmt::format("{:.4g}", mean) + (std::isfinite(deviation) ? fmt::format(" ± {:.2g}", deviation) : "");
}

SweepResults collect_results(const SweepFolder& folder) { return Collector(folder).collect(); }

std::vector<std::string> incomparable_runs(const SweepResults& results) {
  std::vector<std::string> lines = changed_data(results);
  for (std::string& line : changed_evaluations(results)) lines.push_back(std::move(line));
  if (std::string line = longer_runs(results); !line.empty()) lines.push_back(std::move(line));
  return lines;
}

MeanCurve mean_curve(const CellResult& cell, const std::string& key) {
  std::map<double, std::vector<double>> values;  // by iteration
  for (const RunResult* run : cell.seeds) {
    const auto found = run->curves.find(key);
    if (found == run->curves.end()) continue;
    for (const auto& [iteration, value] : found->second)
      if (std::isfinite(value)) values[iteration].push_back(value);
  }
  MeanCurve curve;
  for (const auto& [iteration, seeds] : values) {
    const Statistic all = statistic_of(seeds);
    const double deviation = std::isfinite(all.deviation) ? all.deviation : 0;
    curve.mean.emplace_back(iteration, all.mean);
    curve.spread.emplace_back(all.mean - deviation, all.mean + deviation);
  }
  return curve;
}

std::vector<size_t> pareto_front(const SweepResults& results, const std::string& cost, const Quantity& metric) {
  struct Point {
    size_t cell;
    double cost, badness;
  };
  std::vector<Point> points;
  for (size_t i = 0; i < results.cells.size(); ++i) {
    const auto& numbers = results.cells[i].numbers;
    const auto c = numbers.find(cost), m = numbers.find(metric.name);
    if (c == numbers.end() || m == numbers.end() || c->second.count == 0 || m->second.count == 0) continue;
    points.push_back({i, c->second.mean, metric.larger_is_better ? -m->second.mean : m->second.mean});
  }
  std::sort(points.begin(), points.end(),
            [](const Point& a, const Point& b) { return std::pair(a.cost, a.badness) < std::pair(b.cost, b.badness); });
  std::vector<size_t> front;
  double best = INFINITY;
  for (const Point& point : points) {
    if (!(point.badness < best)) continue;
    best = point.badness;
    front.push_back(point.cell);
  }
  return front;
}

}  // namespace poise
