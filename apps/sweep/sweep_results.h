// What the finished runs of a sweep have to say, for its summaries: numbers by run and by cell, and curves.
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
  bool larger_is_better = false;  // of a metric
  bool at_end = false;            // a metric of the last weights: what the scatter shows
};

struct RunResult {
  const SweepRun* run = nullptr;
  RunState state;
  std::map<std::string, double> numbers;  // by name of the quantity; only what there is
  std::map<std::string, Points> curves;   // by key of train.jsonl and metrics.jsonl
  std::string data_crc;                   // of the images that it saw
};

struct Statistic {  // over the finished seeds
  int64_t count = 0;
  double mean = 0, deviation = 0;  // of the sample; NaN with fewer than two
  std::string text() const;        // "95.6 +- 2.1", "95.6", "-"
};

struct CellResult {
  const SweepCell* cell = nullptr;
  Assignments varied;                   // what distinguishes it from other cells; a string where it has no such option
  std::string name;                     // of these, for legends: "sdst-rigl 16x16 0.1"
  std::vector<const RunResult*> seeds;  // finished ones
  std::map<std::string, Statistic> numbers;
};

struct SweepResults {
  std::vector<Quantity> quantities;      // that at least one finished run has, in the order of the tables
  std::vector<std::string> varied_keys;  // columns before them
  std::vector<std::string> curves;       // keys of curves that are worth a chart
  std::vector<RunResult> runs;           // all, finished or not
  std::vector<CellResult> cells;
};

SweepResults collect_results(const SweepFolder& folder);

// What the tables put side by side although it does not compare, a line for each: runs that saw other images under the
// same name, or were evaluated against other references or networks, since files changed while the sweep was under way;
// runs that are longer than the sweep asks.
std::vector<std::string> incomparable_runs(const SweepResults& results);

// Mean over the seeds that have a point there, and from mean - deviation to mean + deviation where two or more have.
struct MeanCurve {
  Points mean;
  std::vector<std::pair<double, double>> spread;  // (low, high) of each point
};
MeanCurve mean_curve(const CellResult& cell, const std::string& key);

// The cells that no other beats in both: less `cost` and a better `metric`. Indices, ascending by cost.
std::vector<size_t> pareto_front(const SweepResults& results, const std::string& cost, const Quantity& metric);

}  // namespace poise
