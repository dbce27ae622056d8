// The files that a run writes while it trains. A run begins with a new directory, or continues from an existing one.
// With several ranks, only the first one has files.
//
// Everything here throws Error(runtime) naming the file if it cannot be written.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "apps/options/options.h"
#include "apps/run/execution_tally.h"
#include "apps/run/run_directory.h"
#include "apps/run/run_log.h"
#include "apps/run/tensorboard.h"
#include "apps/training/trainer.h"
#include "engine/io/checkpoint.h"
#include "engine/io/jsonl.h"

namespace poise {

class RunFiles {
 public:
  // The run to which the files belong. Its members must outlive them.
  struct Run {
    const OptionSet& options;
    const Settings& settings;
    Trainer& trainer;
    const ImageSet& images;
  };

  // Creates a directory, with pictures and a checkpoint of the trainer's current state.
  static std::unique_ptr<RunFiles> create(const Run& run, const std::string& label);
  // Restores the trainer from the newest valid checkpoint of a run directory. Removes records of later iterations,
  // which will be written again. Error(checkpoint) if the checkpoint belongs to another run, Error(usage) if it is
  // beyond the last iteration; then nothing has changed.
  static std::unique_ptr<RunFiles> resume(const Run& run, const std::string& path);

  const RunDirectory& directory() const { return directory_; }
  const CheckpointStore& checkpoints() const { return store_; }
  const std::string& last_checkpoint() const { return last_checkpoint_; }
  const std::string& last_picture() const { return last_picture_; }  // relative to the directory
  double earlier_seconds() const { return earlier_seconds_; }        // of training, in earlier processes
  int64_t evaluated_at() const { return evaluated_at_; }             // the last iteration in metrics.jsonl; -1: none
  const std::vector<std::string>& warnings() const { return warnings_; }  // about a resumed run's files

  void log(const std::string& text) { log_->line(text); }  // log.txt
  // Writes a line of train.jsonl. `seconds`: of training in this process.
  void write_iteration(const IterationReport& report, double seconds);
  void write_masks(const std::vector<MaskEvent>& masks, const std::vector<ExecutionEvent>& executions);
  void write_speed(const SpeedComparison& speed);
  // Writes a line of metrics.jsonl. `label` and `value`: the metric in the record, for TensorBoard.
  void write_metric(std::vector<JsonField> record, const std::string& label, double value);
  void draw_fakes();
  // Saves a checkpoint of the current iteration, unless there is one.
  void save();
  // Like save(), and keeps the checkpoint as the best.
  void save_best(double score, const std::string& metric, const std::string& protocol);

 private:
  RunFiles(const Run& run, RunDirectory directory);
  void open();  // opens the logs, after later records have been cut off
  void continue_from(const CheckpointStore::Loaded& checkpoint);
  double unmasked(double flops);

  const Run run_;
  RunDirectory directory_;
  CheckpointStore store_;
  std::optional<TextLog> log_;
  std::optional<JsonlWriter> train_lines_, metric_lines_;
  std::optional<TensorBoardLog> tensorboard_;
  ExecutionTally executions_;
  std::vector<std::string> warnings_;
  std::string last_checkpoint_, last_picture_;
  double earlier_seconds_ = 0;
  int64_t evaluated_at_ = -1;
  double unmasked_flops_ = 0, counted_flops_ = 0;  // of the run so far: see unmasked()
  int64_t saved_at_ = 0;
  int64_t written_at_ = 0;  // iteration of the last line of train.jsonl
  double written_seconds_ = 0;
};

}  // namespace poise
