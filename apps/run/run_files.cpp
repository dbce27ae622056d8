#include "apps/run/run_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "apps/console/program.h"
#include "apps/run/run_environment.h"
#include "apps/run/run_pictures.h"
#include "apps/run/run_record.h"
#include "apps/run/run_state.h"
#include "apps/training/sparse_methods.h"
#include "engine/io/atomic_file.h"
#include "engine/io/system_file.h"
#include "kernels/core/parallel.h"
#include "kernels/ranks/ranks.h"

namespace poise {
namespace {

constexpr int64_t kTrainLineSchema = 1;
const std::string kConfigHeading =
    "# The options of this run, each with its origin. To continue the run: train_gan --resume THIS_FOLDER.\n"
    "# To start another one like it: train_gan --config THIS_FILE.\n\n";

struct FirstPictures {
  std::string reals, fakes;
};

FirstPictures fill_new_directory(const RunFiles::Run& run, const std::string& path) {
  write_file_atomically(path + "/config.toml", kConfigHeading + run.options.to_toml(true));
  write_file_atomically(path + "/env.json", environment_json(run.settings, run.trainer.device(), run.images));
  const FirstPictures pictures = {.reals = draw_reals(path, run.trainer, run.settings.output, run.images),
                                  .fakes = draw_fakes(path, run.trainer, run.settings.output, run.images)};
  CheckpointStore store(path + "/checkpoints", run.settings.output.keep_checkpoints);
  save_state(store, run.trainer, run.settings, run.images);
  return pictures;
}

}  // namespace

RunFiles::RunFiles(const Run& run, RunDirectory directory)
    : run_(run),
      directory_(std::move(directory)),
      store_(directory_.file("checkpoints"), run.settings.output.keep_checkpoints) {}

std::unique_ptr<RunFiles> RunFiles::create(const Run& run, const std::string& label) {
  FirstPictures pictures;
  RunDirectory directory =
      RunDirectory::create(run.settings.output.runs, fmt::format("{}-seed{}", label, run.settings.train.seed),
                           [&](const std::string& path) { pictures = fill_new_directory(run, path); });
  std::unique_ptr<RunFiles> files(new RunFiles(run, std::move(directory)));
  files->last_checkpoint_ = files->store_.path_of(0);
  files->open();
  if (auto& board = files->tensorboard_) {
    board->picture("samples/reals", 0, files->directory_.file(pictures.reals));
    board->picture("samples/fakes", 0, files->directory_.file(pictures.fakes));
  }
  return files;
}

std::unique_ptr<RunFiles> RunFiles::resume(const Run& run, const std::string& path) {
  std::unique_ptr<RunFiles> files(new RunFiles(run, RunDirectory::open(path)));
  const CheckpointStore::Loaded loaded = files->store_.newest_valid();
  check_same_run(loaded.file, run.settings, run.images.crc);
  if (loaded.step > run.settings.train.iterations) {
    fail(ErrorKind::usage, fmt::format("iterations: the run is already at {} but {} were requested; request more",
                                       loaded.step, run.settings.train.iterations));
  }
  restore_state(loaded.file, run.trainer);
  files->continue_from(loaded);
  return files;
}

// This is the first function of resume() that changes the directory.
void RunFiles::continue_from(const CheckpointStore::Loaded& checkpoint) {
  for (const char* folder : {"", "samples"}) remove_stale_temporaries(directory_.file(folder));
  store_.discard_after(checkpoint.step);
  truncate_jsonl_after(directory_.file("train.jsonl"), "iteration", checkpoint.step);
  truncate_jsonl_after(directory_.file("metrics.jsonl"), "iteration", checkpoint.step);
  const RunRecord record = read_run(directory_.path());
  if (const double seconds = record.last("seconds"); std::isfinite(seconds)) earlier_seconds_ = seconds;
  if (const double flops = record.last("unmasked_flops"); std::isfinite(flops)) {
    unmasked_flops_ = flops;
    counted_flops_ = record.last("flops");
  }
  if (record.of("loss_d").empty() && checkpoint.step > 0) {
    warnings_.push_back(fmt::format(
        "train.jsonl has nothing of the {} iterations before: their curves and seconds are missing", checkpoint.step));
  }
  for (const RunRecord::Metric& metric : record.metrics()) {
    evaluated_at_ = std::max<int64_t>(evaluated_at_, std::llround(metric.points->back().first));
  }
  for (const RecordedExecution& e : record.executions) executions_.add(e.layer, e.pass, e.execution);
  OptionSet options = run_.options;  // values that come from this config.toml keep their recorded origin
  for (const RecordedOption& o : record.options) {
    if (options.origin(o.key).find("/config.toml, line ") != std::string::npos) options.set_origin(o.key, o.origin);
  }
  write_file_atomically(directory_.file("config.toml"), kConfigHeading + options.to_toml(true));
  warnings_.insert(warnings_.end(), checkpoint.warnings.begin(), checkpoint.warnings.end());
  last_checkpoint_ = checkpoint.path;
  open();
}

void RunFiles::open() {
  log_.emplace(directory_.file("log.txt"));
  train_lines_.emplace(directory_.file("train.jsonl"));
  if (run_.settings.evaluation.eval_every > 0) metric_lines_.emplace(directory_.file("metrics.jsonl"));
  const int64_t iteration = run_.trainer.iteration();
  if (run_.settings.output.tensorboard) tensorboard_.emplace(directory_.path(), iteration);
  saved_at_ = written_at_ = iteration;
  log(fmt::format("poise {} {} {}, {}, seed {}, config {}, data {}", version(), build_type(), compiler(),
                  counted(thread_count(), "thread"), run_.settings.train.seed,
                  config_hash(fixed_settings(run_.settings)), crc_text(run_.images.crc)));
}

// The FLOP that kernels would execute if every weight were alive: fewer than dense-equivalent `flops` if they fold
// convolutions. Scales only the work since the last call: an earlier process may have run on a device that folds less.
double RunFiles::unmasked(double flops) {
  const TrainingPlan& plan = run_.trainer.training_plan();
  const double added = flops - counted_flops_;
  counted_flops_ = flops;
  return unmasked_flops_ += plan.flops > 0 ? added * plan.executed_flops / plan.flops : added;
}

void RunFiles::write_iteration(const IterationReport& report, double seconds) {
  const Trainer& trainer = run_.trainer;
  const SparseReport sparse = trainer.sparse_report();
  const WorkDone work = trainer.work_done();
  const int64_t iteration = trainer.iteration();
  const double elapsed = seconds - written_seconds_;
  const double rate = elapsed > 0 ? static_cast<double>(iteration - written_at_) / elapsed : 0;
  std::vector<JsonField> line = {{"schema", kTrainLineSchema},
                                 {"iteration", iteration},
                                 {"loss_d", report.loss_d},
                                 {"loss_g", report.loss_g},
                                 {"mean_real", report.mean_real},
                                 {"mean_fake", report.mean_fake},
                                 {"balance_ratio", sparse.balance.latest},
                                 {"balance_ratio_mean", sparse.balance.mean_of_ratios},
                                 {"balance_ratio_of_sums", sparse.balance.ratio_of_sums},
                                 {"balance_unusable", sparse.balance.unusable},
                                 {"density_g", sparse.density_g},
                                 {"density_d", sparse.density_d},
                                 {"flops", work.flops},
                                 {"executed_flops", work.executed_flops},
                                 {"unmasked_flops", unmasked(work.flops)},
                                 {"seconds", earlier_seconds_ + seconds},
                                 {"it_per_s", rate}};
  if (const Ranks* ranks = run_.settings.ranks) {
    const ExchangedBytes exchanged = trainer.exchanged();
    line.insert(line.end(), {{"ranks", int64_t{ranks->size()}},
                             {"exchanged_bytes", static_cast<int64_t>(exchanged.bytes)},
                             {"exchanged_bytes_dense", static_cast<int64_t>(exchanged.dense)}});
  }
  train_lines_->write(line);
  if (tensorboard_) tensorboard_->line("train", line);
  written_at_ = iteration;
  written_seconds_ = seconds;
}

void RunFiles::write_masks(const std::vector<MaskEvent>& masks, const std::vector<ExecutionEvent>& executions) {
  for (const MaskEvent& event : masks) {
    train_lines_->write(mask_event_fields(event));
    if (tensorboard_) tensorboard_->masks(event);
    if (event.kind != "initial" || !run_.trainer.training_plan().execution.empty()) continue;
    const SparseOptions& sparse = run_.trainer.options().sparse;
    log(event.network + ": execution " + masked_execution_note(sparse.execution, sparse.cell));
  }
  for (const ExecutionEvent& event : executions) {
    train_lines_->write(execution_event_fields(event));
    executions_.add(event.decision.layer, name_of(event.decision.pass), name_of(event.decision.execution));
  }
  if (!executions.empty()) log(fmt::format("iteration {}: {}", run_.trainer.iteration(), executions_.text()));
}

void RunFiles::write_speed(const SpeedComparison& speed) {
  train_lines_->write(speed_fields(speed, run_.settings.train.iterations));
}

void RunFiles::write_metric(std::vector<JsonField> record, const std::string& label, double value) {
  const int64_t iteration = run_.trainer.iteration();
  record.insert(record.begin() + 1, {"iteration", iteration});
  metric_lines_->write(record);
  if (tensorboard_) tensorboard_->line("metrics", {{"iteration", iteration}, {label, value}});
}

void RunFiles::draw_fakes() {
  last_picture_ = poise::draw_fakes(directory_.path(), run_.trainer, run_.settings.output, run_.images);
  if (tensorboard_) {
    tensorboard_->picture("samples/fakes", run_.trainer.iteration(), directory_.file(last_picture_));
  }
}

void RunFiles::save() {
  if (saved_at_ == run_.trainer.iteration()) return;
  train_lines_->sync();
  if (tensorboard_) tensorboard_->sync();
  last_checkpoint_ = save_state(store_, run_.trainer, run_.settings, run_.images);
  saved_at_ = run_.trainer.iteration();
}

void RunFiles::save_best(double score, const std::string& metric, const std::string& protocol) {
  save();
  store_.pin_best(run_.trainer.iteration(), score, metric, protocol);
}

}  // namespace poise
