// The folder of a sweep, and where each of its runs stands there:
//
//   sweep.toml                        the plan (sweep_plan.h), for the next sweep_gan FOLDER
//   options.toml                      its [options], as train_gan reads them
//   runs/NNNNN-LABEL-seedN/           run directories
//   output/LABEL-seedN.txt            what the last program of a run printed; failures end with a line of the sweep's
//   evaluations/LABEL-seedN.json      what evaluate_gan found, by the arguments it had
//   summary.md .json .html, figures/  of what is finished
//
// Nothing else is remembered: what is finished is read from the runs themselves, so that a sweep can be killed at any
// point.
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
  OptionSet options;  // complete, as train_gan will have them
};

struct EvaluationRecord {
  std::string evaluation, metric;  // the plan's text, and what it measured: "FID-768"
  double value = 0;
  std::string json;  // all that evaluate_gan said of it
};

struct RunState {
  std::string directory;  // "" before it has begun
  bool trained = false;   // to the last of the iterations that are asked for
  int64_t iteration = 0;
  double seconds = 0;                     // of training so far
  std::vector<std::string> unevaluated;   // of the plan's evaluations, those still to do
  std::vector<EvaluationRecord> results;  // of those that are done
  double evaluation_seconds = 0;          // that they took
  std::string failure;                    // of the last attempt; "" if it did not fail
  bool finished() const { return trained && unevaluated.empty(); }
};

class SweepFolder {
 public:
  SweepFolder(const std::string& path, const SweepPlan& plan, const std::vector<SweepCell>& cells);

  const std::string& path() const { return path_; }
  const SweepPlan& plan() const { return plan_; }
  const std::vector<SweepCell>& cells() const { return cells_; }
  // The first seed of every cell comes before the second of any: a sweep that is looked at early has something of all.
  const std::vector<SweepRun>& runs() const { return runs_; }

  // Error(usage) unless every run's options are good; Error(checkpoint) if a run that is there had others.
  void check() const;
  // Makes the folders, and writes the plan and the options.
  void write_plan() const;

  RunState state(const SweepRun& run) const;
  std::string output_of(const SweepRun& run) const { return path_ + "/output/" + run.name + ".txt"; }

  // train_gan's arguments to begin a run or, with the directory of one, to continue it.
  std::vector<std::string> training_arguments(const SweepRun& run, const std::string& directory, int64_t threads) const;
  // And its environment: what the plan says is not overridden by variables.
  using Variables = std::vector<std::pair<std::string, std::string>>;
  Variables training_environment() const;
  void write_failure(const SweepRun& run, const std::string& what) const;
  // Adds what evaluate_gan wrote (JSON lines) to the run's evaluations. Error(runtime) if that is none.
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
