// Reads the records in a run directory for reports. This needs neither the run's data nor its model or program.
// Missing, truncated or incompatible records are no errors, as long as there is a run.
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
  std::string group, key, value, origin;  // as in config.toml
};

// {"event": "mask_update", ...}
struct MaskUpdate {
  int64_t iteration = 0;
  std::string network, kind;  // "G", "D"; "initial", "drop_grow", "raise", "lower", "prune", "none"
  int64_t dropped = 0, grown = 0, alive = 0;
  double density = 0, balance_ratio = 0;               // NaN if missing
  std::vector<std::pair<std::string, double>> layers;  // density by layer, in the order of the network
};

// {"event": "execution", ...}
struct RecordedExecution {
  int64_t iteration = 0;
  std::string layer, pass, execution, reason;
  double density = 0, speedup = 0;  // NaN if missing
};

struct RunRecord {
  std::string path, name;
  std::vector<RecordedOption> options;
  std::vector<std::pair<std::string, std::string>> environment;  // from env.json
  std::map<std::string, Points> series;  // every number in the run's *.jsonl files that has an iteration, by key
  std::vector<MaskUpdate> updates;
  std::vector<RecordedExecution> executions;
  std::optional<SpeedComparison> speed;                   // the last
  std::vector<std::pair<int64_t, std::string>> pictures;  // iteration and path inside the run directory, ascending
  std::string started, last_written;                      // the times of the first and the last line of log.txt
  std::string last_line;                                  // of log.txt, without its time and ETA
  int64_t unread_lines = 0;                               // lines of the *.jsonl files that are not records
  int64_t resumed = 0;                                    // how often

  const Points& of(const std::string& key) const;    // empty if there are none
  std::string option(const std::string& key) const;  // its value as text without quotes, "" if there is none
  double last(const std::string& key) const;         // NaN if there is none
  // The last value recorded up to an iteration. NaN: none yet.
  double at(const std::string& key, double iteration) const;
  // At most `most` of the iterations at which losses were logged, evenly spaced, including the first and the last.
  std::vector<double> logged_iterations(size_t most) const;
  int64_t last_iteration() const;  // of anything recorded; 0 if nothing is

  // A metric evaluated during training, from metrics.jsonl: swd, frechet-random, FID.., IS.., KID.., precision-recall..
  struct Metric {
    std::string name;
    bool larger_is_better = false;
    const Points* points = nullptr;                 // not empty
    const std::pair<double, double>& best() const;  // (iteration, value); NaN only if there is nothing else
    std::string text() const;                       // "best 5.46019 at iteration 90,000, last 5.70112"
  };
  std::vector<Metric> metrics() const;
};

// `metric`: its name as evaluations write it. True for scores such as IS, for precision and recall; not for distances.
bool larger_is_better(const std::string& metric);

// Error(checkpoint) if `path` is not a run directory.
RunRecord read_run(const std::string& path);

}  // namespace poise
