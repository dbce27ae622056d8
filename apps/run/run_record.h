// What a run directory tells about its run, read for reports: nothing here needs the run's data, model or program to
// be there, and nothing that is missing, torn or from another version is an error except that there is no run at all.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "apps/training/speed_comparison.h"

namespace poise {

using Points = std::vector<std::pair<double, double>>;  // (iteration, value), ascending

struct RecordedOption {
  std::string group, key, value, origin;  // as config.toml has them
};

// {"event": "mask_update", ...}
struct MaskUpdate {
  int64_t iteration = 0;
  std::string network, kind;  // "G", "D"; "initial", "drop_grow", "raise", "lower", "prune", "none"
  int64_t dropped = 0, grown = 0, alive = 0;
  double density = 0, balance_ratio = 0;               // NaN if it is not there
  std::vector<std::pair<std::string, double>> layers;  // density by layer, in the order of the network
};

// {"event": "execution", ...}
struct RecordedExecution {
  int64_t iteration = 0;
  std::string layer, pass, execution, reason;
  double density = 0, speedup = 0;  // NaN if it is not there
};

struct RunRecord {
  std::string path, name;
  std::vector<RecordedOption> options;
  std::vector<std::pair<std::string, std::string>> environment;  // of env.json
  std::map<std::string, Points> series;  // every number in the run's *.jsonl files that has an iteration, by its key
  std::vector<MaskUpdate> updates;
  std::vector<RecordedExecution> executions;
  std::optional<SpeedComparison> speed;                   // the last
  std::vector<std::pair<int64_t, std::string>> pictures;  // iteration and path inside the run directory, ascending
  std::string started, last_written;                      // the times of the first and the last line of log.txt
  std::string last_line;                                  // of log.txt, without its time and ETA
  int64_t unread_lines = 0;                               // of the *.jsonl files, that are no records
  int64_t resumed = 0;                                    // how often

  const Points& of(const std::string& key) const;    // empty if there is none
  std::string option(const std::string& key) const;  // its value as text without quotes, "" if there is none
  double last(const std::string& key) const;         // NaN if there is none
  // What held at an iteration: the last value up to there. NaN: none yet.
  double at(const std::string& key, double iteration) const;
  // At most so many of the iterations at which losses were logged, evenly spread, with the first and the last.
  std::vector<double> logged_iterations(size_t most) const;
  int64_t last_iteration() const;  // of anything recorded; 0 if nothing is

  // What was evaluated during training, from metrics.jsonl: swd, frechet-random, FID.., IS.., KID.., precision-recall..
  struct Metric {
    std::string name;
    bool larger_is_better = false;
    const Points* points = nullptr;                 // not empty
    const std::pair<double, double>& best() const;  // (iteration, value); those that are no number lose
    std::string text() const;                       // "best 5.46019 at iteration 90,000, last 5.70112"
  };
  std::vector<Metric> metrics() const;
};

// By the name of a metric, as evaluations write it: of scores, as IS, and of precision and recall; not of distances.
bool larger_is_better(const std::string& metric);

// Error(checkpoint) if `path` is no run directory.
RunRecord read_run(const std::string& path);

}  // namespace poise
