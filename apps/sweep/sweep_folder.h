// The folder of a sweep, and the progress of its runs:
//
//   sweep.toml                        the plan (sweep_plan.h), for the next sweep_gan FOLDER
//   options.toml                      its [options], as train_gan reads them
//   runs/NNNNN-LABEL-seedN/           run directories
//   output/LABEL-seedN.txt            output of a run's last program; after a failure, sweep_gan adds a line
//   evaluations/LABEL-seedN.json      results of evaluate_gan, by its arguments
//   summary.md .json .html, figures/  summaries of everything finished
//
// There is no other state: progress is read from the runs themselves, so that a sweep can be killed at any point.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "apps/sweep/sweep_plan.h"

namespace poise {

struct SweepRun {
  size_t cell = 0;  // index of its cell
  int64_t seed = 0;
  std::string name;   // "LABEL-seedN"
  OptionSet options;  // complete, as train_gan will see them
};

struct EvaluationRecord {
  std::string evaluation, metric;  // the plan's text, and what was measured: "FID-768"
  double value = 0;
  std::string json;  // evaluate_gan's whole record
};

struct RunState {
  std::string directory;  // "" before the run has begun
  bool trained = false;   // has it reached the requested number of iterations?
  int64_t iteration = 0;
  double seconds = 0;                     // of training so far
  std::vector<std::string> unevaluated;   // evaluations of the plan that are still to be done
  std::vector<EvaluationRecord> results;  // of completed evaluations
  double evaluation_seconds = 0;          // duration of completed evaluations
  std::string failure;                    // of the last attempt; "" if it did not fail
  bool finished() const { return trained && unevaluated.empty(); }
};

class SweepFolder {
 public:
  SweepFolder(const std::string& path, const SweepPlan& plan, const std::vector<SweepCell>& cells);

  const std::string& path() const { return path_; }
  const SweepPlan& plan() const { return plan_; }
  const std::vector<SweepCell>& cells() const { return cells_; }
  // Ordered by seed first: an early summary of an unfinished sweep then covers all cells.
  const std::vector<SweepRun>& runs() const { return runs_; }

  // Error(usage) unless every run's options are valid; Error(checkpoint) if an existing run had other fixed options.
  void check() const;
  // Creates the folders, and writes the plan and the options.
  void write_plan() const;

  RunState state(const SweepRun& run) const;
  std::string output_of(const SweepRun& run) const { return path_ + "/output/" + run.name + ".txt"; }

  // The arguments with which train_gan begins a run or, if `directory` is not empty, continues it.
  std::vector<std::string> training_arguments(const SweepRun& run, const std::string& directory, int64_t threads) const;
  // Its environment, in which no variable overrides an option of the plan.
  using Variables = std::vector<std::pair<std::string, std::string>>;
  Variables training_environment() const;
  void write_failure(const SweepRun& run, const std::string& what) const;
  // Adds evaluate_gan's output (JSON lines) to the run's evaluations. Error(runtime) if it is not JSON as expected.
  void write_evaluation(const SweepRun& run, const std::string& evaluation, int64_t iteration, double seconds,
                        const std::string& lines) const;

 private:
  std::string directory_of(const SweepRun& run) const;

  std::string path_;
  SweepPlan plan_;
  std::vector<SweepCell> cells_;
  std::vector<SweepRun> runs_;
};

}  // namespace poise
