// The results of a sweep's finished runs, for its summaries: numbers by run and by cell, and curves.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "apps/run/run_record.h"
#include "apps/sweep/sweep_folder.h"

namespace poise {

// One column of the tables.
struct Quantity {
  std::string name;  // "FID-768", "swd, best"
  enum class Kind : uint8_t { metric, cost, state } kind = Kind::metric;
  bool larger_is_better = false;  // for metrics
  bool at_end = false;            // a metric of the final weights, as shown in the scatter chart
};

struct RunResult {
  const SweepRun* run = nullptr;
  RunState state;
  std::map<std::string, double> numbers;  // by name of the quantity; only those available
  std::map<std::string, Points> curves;   // by key in train.jsonl or metrics.jsonl
  std::string data_crc;                   // of its training images
};

struct Statistic {  // over the finished seeds
  int64_t count = 0;
  double mean = 0, deviation = 0;  // sample standard deviation; NaN with fewer than two
  std::string text() const;        // "95.6 ± 2.1", "95.6", "-"
};

struct CellResult {
  const SweepCell* cell = nullptr;
  Assignments varied;                   // what distinguishes it from other cells; "" for an option that it does not set
  std::string name;                     // made of these values, for legends: "sdst-rigl 16x16 0.1"
  std::vector<const RunResult*> seeds;  // fully trained runs
  std::map<std::string, Statistic> numbers;
};

struct SweepResults {
  std::vector<Quantity> quantities;      // available for at least one run, in the order of the tables
  std::vector<std::string> varied_keys;  // the columns before them
  std::vector<std::string> curves;       // keys of the curves to be shown in charts
  std::vector<RunResult> runs;           // all, finished or not
  std::vector<CellResult> cells;
};

SweepResults collect_results(const SweepFolder& folder);

// A line for each set of results in the tables that are not comparable: runs that were trained on other images of the
// same name, or evaluated with other references or networks, because files changed during the sweep; runs that are
// longer than the sweep requests.
std::vector<std::string> incomparable_runs(const SweepResults& results);

// The mean over the seeds that have a point at an iteration; mean - deviation to mean + deviation if two or more have.
struct MeanCurve {
  Points mean;
  std::vector<std::pair<double, double>> spread;  // (low, high) of each point
};
MeanCurve mean_curve(const CellResult& cell, const std::string& key);

// The cells that no other cell beats in both `cost` and `metric`. Indices, ascending by cost.
std::vector<size_t> pareto_front(const SweepResults& results, const std::string& cost, const Quantity& metric);

}  // namespace poise
