#include "apps/programs/training_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <iterator>
#include <memory>
#include <numeric>
#include <optional>

#include "apps/console/program.h"
#include "apps/console/progress.h"
#include "apps/console/together.h"
#include "apps/evaluation/evaluator.h"
#include "apps/options/complete_options.h"
#include "apps/options/load_images.h"
#include "apps/programs/dry_run.h"
#include "apps/report/html_report.h"
#include "apps/report/markdown_report.h"
#include "apps/report/speed_report.h"
#include "apps/run/execution_tally.h"
#include "apps/run/run_directory.h"
#include "apps/run/run_environment.h"
#include "apps/run/run_log.h"
#include "apps/run/run_record.h"
#include "apps/run/run_state.h"
#include "apps/run/tensorboard.h"
#include "apps/training/iteration_timing.h"
#include "apps/training/sparse_methods.h"
#include "engine/io/atomic_file.h"
#include "engine/io/jsonl.h"
#include "engine/io/message.h"
#include "engine/io/png.h"
#include "engine/io/system_file.h"

namespace poise {
namespace {

constexpr int kStopped = 75;  // EX_TEMPFAIL: run me again
constexpr int64_t kTrainLineSchema = 1;

bool due(int64_t every, int64_t iteration) { return every > 0 && iteration % every == 0; }

bool logged(int64_t every, int64_t iteration) {
  return due(every, iteration) ||
         std::find(std::begin(kAlwaysLogged), std::end(kAlwaysLogged), iteration) != std::end(kAlwaysLogged);
}

std::vector<uint64_t> first_seeds(int64_t count) {
  std::vector<uint64_t> seeds(static_cast<size_t>(count));
  std::iota(seeds.begin(), seeds.end(), uint64_t{0});
  return seeds;
}

std::string picture_name(int64_t iteration) { return fmt::format("samples/fakes_{:06}.png", iteration); }

std::string ranks_text(const Ranks& ranks, const TrainOptions& train) {
  std::vector<std::string> hosts;
  for (int r = 0; r < ranks.size(); ++r) hosts.push_back(ranks.host_of(r));
  hosts.erase(std::unique(hosts.begin(), hosts.end()), hosts.end());
  return fmt::format(
      "{} ranks on {} ({}): of {} and {} images of a batch each takes {} and {}, batch norm over {}, gradients in {}",
      ranks.size(), fmt::join(hosts, ", "), ranks_built_with(), train.batch_size_d, train.batch_size_g,
      train.batch_size_d / ranks.size(), train.batch_size_g / ranks.size(),
      train.sync_batch_norm ? "all of them" : "its own", name_of(train.exchange_precision));
}

class TrainingRun {
 public:
  TrainingRun(const RunRequest& request, const Settings& settings, const TrainingPlan& plan,
              std::shared_ptr<ImageSet> images);
  int run();

 private:
  void fill_new_directory(const std::string& path);
  void continue_from_checkpoint();
  void open_logs();
  void start_progress();
  void note(const std::string& text);
  void forget_images();
  std::vector<uint8_t> fakes(int64_t count);
  void write_grid(const std::string& path, const std::vector<uint8_t>& pixels, int64_t count) const;
  void write_fakes(const std::string& folder);
  void write_reals(const std::string& folder) const;
  double unmasked(double flops) const;
  void log_iteration();
  void write_line(const IterationReport& report);
  void log_mask_events();
  void evaluate();
  void save();
  void train();
  void compare_speed();
  int stop();
  int finish();

  const RunRequest& request_;
  const OptionSet& options_;
  const Settings settings_;
  Ranks* const ranks_;  // of these the first alone has a directory and writes
  const std::shared_ptr<ImageSet> images_;
  Trainer trainer_;
  std::optional<Evaluator> evaluator_;
  SignalWatch signals_;
  std::optional<RunDirectory> directory_;
  std::optional<CheckpointStore> store_;
  std::optional<TextLog> log_;
  std::optional<JsonlWriter> train_lines_, metric_lines_;
  std::optional<TensorBoardLog> tensorboard_;
  std::optional<Progress> progress_;
  double earlier_seconds_ = 0;  // of training, in earlier processes
  int64_t saved_at_ = 0, logged_at_ = 0;
  double logged_seconds_ = 0;
  std::string last_checkpoint_;
  ExecutionTally executions_;
  std::optional<SpeedComparison> speed_;
  bool nothing_left_ = false;  // of a finished run that is resumed
  std::string stopped_by_;
};

TrainingRun::TrainingRun(const RunRequest& request, const Settings& settings, const TrainingPlan& plan,
                         std::shared_ptr<ImageSet> images)
    : request_(request),
      options_(request.options),
      settings_(settings),
      ranks_(settings.ranks),
      images_(std::move(images)),
      trainer_(settings_, plan, images_) {
  if (settings_.evaluation.eval_every > 0) {
    evaluator_.emplace(settings_.evaluation, settings_.data, trainer_.device().device, *images_, ranks_);
  }
}

std::vector<uint8_t> TrainingRun::fakes(int64_t count) {
  const auto latents = latents_of_seeds(first_seeds(count), trainer_.latent_size());
  return trainer_.sample(latents, cycling_labels(count, trainer_.classes()), Weights::ema, Mode::evaluate_batch,
                         std::min(count, kPictureBatch));
}

// A folder that a copy of a run has lost is made anew.
void TrainingRun::write_grid(const std::string& path, const std::vector<uint8_t>& pixels, int64_t count) const {
  make_folders(split_path(path).folder);
  const int64_t columns = grid_columns(settings_.output.sample_count, trainer_.classes());
  write_image_grid(path, pixels,
                   {.count = count,
                    .height = images_->height,
                    .width = images_->width,
                    .channels = images_->channels,
                    .columns = columns,
                    .scale = settings_.output.sample_scale});
}

void TrainingRun::write_fakes(const std::string& folder) {
  const int64_t count = settings_.output.sample_count;
  const std::string path = folder + "/" + picture_name(trainer_.iteration());
  write_grid(path, fakes(count), count);
  if (tensorboard_) tensorboard_->picture("samples/fakes", trainer_.iteration(), path);
}

void TrainingRun::write_reals(const std::string& folder) const {
  const int64_t size = images_->height * images_->width * images_->channels;
  const int64_t count = std::min(settings_.output.sample_count, images_->count);
  std::vector<uint8_t> reals;
  for (int64_t i = 0; i < count; ++i) {  // spread over the set, which may be sorted by class
    const uint8_t* first = images_->pixels.data() + i * images_->count / count * size;
    reals.insert(reals.end(), first, first + size);
  }
  write_grid(folder + "/samples/reals.png", reals, count);
}

void TrainingRun::fill_new_directory(const std::string& path) {
  const std::string heading = fmt::format(
      "# The options of this run, each with its origin. To continue the run: train_gan --resume THIS_FOLDER.\n"
      "# To start another one like it: train_gan --config THIS_FILE.\n\n");
  write_file_atomically(path + "/config.toml", heading + options_.to_toml(true));
  write_file_atomically(path + "/env.json", environment_json(settings_, trainer_.device(), *images_));
  write_reals(path);
  write_fakes(path);
  CheckpointStore store(path + "/checkpoints", settings_.output.keep_checkpoints);
  save_state(store, trainer_, settings_, *images_);
}

void TrainingRun::continue_from_checkpoint() {
  directory_.emplace(RunDirectory::open(request_.resume));
  store_.emplace(directory_->file("checkpoints"), settings_.output.keep_checkpoints);
  const CheckpointStore::Loaded loaded = store_->newest_valid();
  check_same_run(loaded.file, settings_, images_->crc);
  if (loaded.step > settings_.train.iterations) {
    fail(ErrorKind::usage, fmt::format("iterations: the run is at {} already but {} were asked for; ask for more",
                                       loaded.step, settings_.train.iterations));
  }
  restore_state(loaded.file, trainer_);
  nothing_left_ = loaded.step == settings_.train.iterations;
  // From here on the directory changes: what lies beyond the checkpoint is dropped, it will be written again.
  for (const char* folder : {"", "samples"}) remove_stale_temporaries(directory_->file(folder));
  store_->discard_after(loaded.step);
  truncate_jsonl_after(directory_->file("train.jsonl"), "iteration", loaded.step);
  truncate_jsonl_after(directory_->file("metrics.jsonl"), "iteration", loaded.step);
  const RunRecord record = read_run(directory_->path());
  if (const double seconds = record.last("seconds"); std::isfinite(seconds)) earlier_seconds_ = seconds;
  for (const RecordedExecution& e : record.executions) executions_.add(e.layer, e.pass, e.execution);
  write_file_atomically(directory_->file("config.toml"),
                        "# The options of this run, each with its origin.\n\n" + options_.to_toml(true));
  open_logs();
  for (const std::string& warning : loaded.warnings) note("warning: " + warning);
  note(fmt::format("resumed {} at iteration {}", directory_->path(), loaded.step));
  last_checkpoint_ = loaded.path;
}

void TrainingRun::open_logs() {
  log_.emplace(directory_->file("log.txt"));
  train_lines_.emplace(directory_->file("train.jsonl"));
  if (evaluator_) metric_lines_.emplace(directory_->file("metrics.jsonl"));
  if (settings_.output.tensorboard) tensorboard_.emplace(directory_->path(), trainer_.iteration());
  saved_at_ = trainer_.iteration();
  start_progress();
  log_->line(fmt::format("poise {} {} {}, {} threads, seed {}, config {}, data {}", version(), build_type(), compiler(),
                         thread_count(), settings_.train.seed, config_hash(fixed_settings(settings_)),
                         crc_text(images_->crc)));
  note(trainer_.device().text);
  note(trainer_.training_plan().data.text);
  if (ranks_) note(ranks_text(*ranks_, settings_.train));
  for (const std::string& warning : options_.warnings()) log_->line("warning: " + warning);
  for (const std::string& text : options_.notes()) log_->line(text);
  for (const std::string& warning : images_->warnings) log_->line("warning: " + warning);
}

void TrainingRun::start_progress() {
  ProgressStyle style = style_of(STDERR_FILENO);
  style.quiet = request_.quiet || !is_first(ranks_);
  progress_.emplace(STDERR_FILENO, style, trainer_.iteration(), settings_.train.iterations);
}

// When pixels are no longer needed: a trainer that does not stream them has a copy on its device.
void TrainingRun::forget_images() {
  const bool wanted = trainer_.training_plan().data.streamed || (evaluator_ && evaluator_->needs_images()) ||
                      settings_.output.compare_with_dense > 0;
  if (!wanted) images_->pixels = {};
}

void TrainingRun::note(const std::string& text) {
  if (log_) log_->line(text);
  progress_->note(text);
}

// What of dense-equivalent arithmetic the kernels would execute if every weight were alive: less where they fold
// convolutions and what stands beside them.
double TrainingRun::unmasked(double flops) const {
  const TrainingPlan& plan = trainer_.training_plan();
  return plan.flops > 0 ? flops * plan.executed_flops / plan.flops : flops;
}

void TrainingRun::log_iteration() {
  const int64_t iteration = trainer_.iteration();
  const std::vector<IterationReport> reports = trainer_.reports(iteration - logged_at_);
  if (train_lines_) write_line(reports.back());
  logged_at_ = iteration;
  for (const IterationReport& r : reports) {
    if (r.finite()) continue;
    // Losses are means over all ranks, so each of them is here.
    throw SharedError(
        ErrorKind::runtime,
        fmt::format("iteration {}: loss_d is {} and loss_g is {}: training diverged; try a lower learning_rate_g or "
                    "learning_rate_d; the last good checkpoint is {}",
                    r.iteration, r.loss_d, r.loss_g,
                    last_checkpoint_.empty() ? "of the first rank" : last_checkpoint_));
  }
  progress_->line();
}

void TrainingRun::write_line(const IterationReport& report) {
  const SparseReport sparse = trainer_.sparse_report();
  const WorkDone work = trainer_.work_done();
  const int64_t iteration = trainer_.iteration();
  const double now = progress_->training_seconds(), elapsed = now - logged_seconds_;
  const double rate = elapsed > 0 ? static_cast<double>(iteration - logged_at_) / elapsed : 0;
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
                                 {"seconds", earlier_seconds_ + now},
                                 {"it_per_s", rate}};
  if (ranks_) {
    const ExchangedBytes exchanged = trainer_.exchanged();
    line.insert(line.end(), {{"ranks", int64_t{ranks_->size()}},
                             {"exchanged_bytes", static_cast<int64_t>(exchanged.bytes)},
                             {"exchanged_bytes_dense", static_cast<int64_t>(exchanged.dense)}});
  }
  train_lines_->write(line);
  if (tensorboard_) tensorboard_->line("train", line);
  logged_seconds_ = now;
  progress_->losses(report.loss_d, report.loss_g);
  log_->line(progress_plain_line(progress_->view()));
}

void TrainingRun::log_mask_events() {
  const std::vector<MaskEvent> mask_events = trainer_.take_mask_events();
  const std::vector<ExecutionEvent> events = trainer_.take_execution_events();
  if (!train_lines_) return;
  for (const MaskEvent& event : mask_events) {
    train_lines_->write(mask_event_fields(event));
    if (tensorboard_) tensorboard_->masks(event);
    if (event.kind != "initial" || !trainer_.training_plan().execution.empty()) continue;
    const SparseOptions& sparse = trainer_.options().sparse;
    log_->line(event.network + ": execution " + masked_execution_note(sparse.execution, sparse.cell));
  }
  for (const ExecutionEvent& event : events) {
    train_lines_->write(execution_event_fields(event));
    executions_.add(event.decision.layer, name_of(event.decision.pass), name_of(event.decision.execution));
  }
  if (!events.empty()) log_->line(fmt::format("iteration {}: {}", trainer_.iteration(), executions_.text()));
}

void TrainingRun::save() {
  if (!store_ || saved_at_ == trainer_.iteration()) return;
  train_lines_->sync();
  if (tensorboard_) tensorboard_->sync();
  last_checkpoint_ = save_state(*store_, trainer_, settings_, *images_);
  saved_at_ = trainer_.iteration();
}

// The chosen metric of the averaged weights; the best checkpoint by it is kept. Whatever goes wrong in measuring, the
// training itself is in order and goes on.
void TrainingRun::evaluate() {
  const std::string when = fmt::format("iteration {}", trainer_.iteration());
  const auto started = std::chrono::steady_clock::now();
  const auto warn = [&](const char* what) {
    note(fmt::format("warning: {}: no {}: {}; training continues", when, evaluator_->label(), what));
  };
  std::optional<EvaluationResult> result;
  try {
    result = evaluator_->evaluate(
        trainer_, *images_, directory_ ? directory_->file("reference.npz") : "",
        [this](const std::string& text) { note(text); }, [this] { return signals_.stop_requested(); });
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::ranks) throw;
    return warn(error.what());
  } catch (const std::exception& error) {
    return warn(error.what());
  }
  forget_images();
  if (!is_first(ranks_)) return;
  if (!result) return note(fmt::format("{}: evaluation interrupted", when));
  for (const std::string& warning : result->warnings) log_->line("warning: " + warning);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started;
  result->record.insert(result->record.begin() + 1, {"iteration", trainer_.iteration()});
  result->record.push_back({"evaluation_seconds", took.count()});
  metric_lines_->write(result->record);
  if (tensorboard_) {
    tensorboard_->line("metrics", {{"iteration", trainer_.iteration()}, {evaluator_->label(), result->value}});
  }
  const std::string text = fmt::format("{}  {} {:.5f}", when, evaluator_->label(), result->value);
  const auto best = store_->best();
  const bool same = best && best->metric == evaluator_->label() && best->protocol == result->protocol();
  if (same && !evaluator_->better(result->value, best->score)) return note(text);
  save();
  store_->pin_best(trainer_.iteration(), result->value, evaluator_->label(), result->protocol());
  note(text + (best && !same ? " (the best so far was measured differently; a new one begins)" : " (best so far)"));
}

void TrainingRun::train() {
  const OutputOptions& s = settings_.output;
  const int64_t iterations = settings_.train.iterations, eval_every = settings_.evaluation.eval_every;
  while (trainer_.iteration() < iterations) {
    const Requests asked = requests_of_all(ranks_, signals_);
    stopped_by_ = asked.stop;
    if (!stopped_by_.empty()) return;
    trainer_.iterate();
    const int64_t iteration = trainer_.iteration();
    const bool last = iteration == iterations;
    progress_->iterated(iteration);
    log_mask_events();
    if (logged(s.log_every, iteration) || last) log_iteration();
    progress_->pause();
    const bool evaluates = eval_every > 0 && (due(eval_every, iteration) || last);
    const bool draws = due(s.sample_every, iteration), saves = due(s.checkpoint_every, iteration) || last || asked.save;
    if (evaluates && evaluator_) evaluate();
    if (draws && directory_) write_fakes(directory_->path());
    if (saves) trainer_.check_ranks_agree();
    if (saves) save();
    if (asked.save) note("saved " + last_checkpoint_ + " (SIGUSR2)");
    if (ranks_ && (evaluates || draws || saves)) ranks_->wait_for_all();
    progress_->resume();
  }
}

// Beside a dense twin. The run is over and saved: what these iterations change is nobody's.
void TrainingRun::compare_speed() {
  const int64_t turns = settings_.output.compare_with_dense;
  if (turns == 0 || !trainer_.has_masks()) return;
  if (ranks_) return note("not timed beside dense iterations: that takes a run of one process");
  try {
    const TrainingPlan twin = Trainer::plan(dense_options(settings_), images_->count);
    check_memory(twin.device.device, twin.bytes() + trainer_.training_plan().bytes());
    note(fmt::format("timing {} iterations, in turns with dense ones", turns));
    const auto speed = compare_with_dense(trainer_, images_, turns, [this] { return signals_.stop_requested(); });
    if (!speed) return note("timing interrupted");
    train_lines_->write(speed_fields(*speed, settings_.train.iterations));
    log_->line(speed_text(*speed));
    speed_ = speed;
  } catch (const Error& error) {
    note(fmt::format("warning: not timed beside dense iterations: {}", error.what()));
  }
}

int TrainingRun::stop() {
  progress_->pause();
  trainer_.check_ranks_agree();
  if (!directory_) return kStopped;
  save();
  const std::string command = shell_word(request_.program) + " --resume " + shell_word(directory_->path());
  note(fmt::format("stopped by {} after iteration {}, saved {}", stopped_by_, trainer_.iteration(), last_checkpoint_));
  try {
    write_html_report(directory_->path());
  } catch (const Error& error) {
    note(std::string("warning: no report.html: ") + error.what());  // what matters is saved
  }
  log_->line("resume with: " + command);
  progress_->finish();
  try {
    print_result("resume with: " + command + "\n");
  } catch (const Error&) {
    // The terminal may be gone (SIGHUP). The run is saved, and log.txt has the command.
  }
  return kStopped;
}

int TrainingRun::finish() {
  if (!directory_) return 0;
  progress_->pause();
  const int64_t iteration = trainer_.iteration();
  write_fakes(directory_->path());
  const auto [for_reader, for_device] = trainer_.data_waits();
  const std::string waits = fmt::format("waited {} times for the reader, {} for the device", for_reader, for_device);
  if (trainer_.training_plan().data.streamed) log_->line("streamed data: " + waits);
  const RunSummary summary{.device = trainer_.device().text,
                           .iterations = iteration,
                           .seconds = earlier_seconds_ + progress_->training_seconds(),
                           .flops_per_iteration = trainer_.training_plan().flops,
                           .last_picture = picture_name(iteration),
                           .last_checkpoint = last_checkpoint_.substr(directory_->path().size() + 1)};
  const std::string report = write_report(*directory_, options_, summary);
  if (!nothing_left_) compare_speed();
  log_->line(finished_line(iteration));
  const std::string figures = write_html_report(directory_->path());
  progress_->finish();
  std::string text;
  if (nothing_left_) {
    text = fmt::format("nothing left to do: {} has all its {} iterations; --iterations N asks for more\n",
                       directory_->path(), format_count(iteration));
  }
  text += fmt::format("{} iterations in {}, {:.3g} it/s, {:.1f} GFLOP/s dense-equivalent, peak memory {:.0f} MiB\n",
                      format_count(iteration), format_duration(summary.seconds), summary.it_per_s(), summary.gflops(),
                      peak_memory_mib());
  if (const auto best = store_->best()) {
    text += fmt::format("{:<11} best {:.5f} at iteration {}: {}\n", best->metric, best->score, best->step,
                        store_->path_of(best->step));
  }
  text += fmt::format("pictures    {}\n", directory_->file(summary.last_picture));
  text += fmt::format("checkpoint  {}\n", last_checkpoint_);
  text += fmt::format("report      {}\n", report);
  text += fmt::format("figures     {}\n", figures);
  if (speed_) text += fmt::format("speed       {}\n", speed_text(*speed_));
  print_result(text);
  return 0;
}

int TrainingRun::run() {
  if (!is_first(ranks_)) {
    // The state comes from the first rank.
  } else if (request_.resume.empty()) {
    directory_.emplace(RunDirectory::create(settings_.output.runs,
                                            fmt::format("{}-seed{}", request_.label, settings_.train.seed),
                                            [this](const std::string& path) { fill_new_directory(path); }));
    store_.emplace(directory_->file("checkpoints"), settings_.output.keep_checkpoints);
    last_checkpoint_ = store_->path_of(0);
    open_logs();
    if (tensorboard_) {
      tensorboard_->picture("samples/reals", 0, directory_->file("samples/reals.png"));
      tensorboard_->picture("samples/fakes", 0, directory_->file(picture_name(0)));
    }
    log_mask_events();
    if (!directory_->has_latest()) {
      note(fmt::format("warning: {}/latest cannot be made a link to this run; if it is something else, move it away",
                       settings_.output.runs));
    }
    note(fmt::format(
        "run {}: {} images{} from {}{}", directory_->path(), format_count(images_->count),
        settings_.data.only_classes == "all" ? "" : fmt::format(" of {}", fmt::join(images_->class_names, ", ")),
        images_->source,
        settings_.data.data == "sample" ? " (the bundled sample; --data FOLDER for all of CIFAR-10)" : ""));
  } else {
    continue_from_checkpoint();
  }
  if (ranks_) ranks_->wait_for_all();
  trainer_.take_state_of_first_rank();
  logged_at_ = trainer_.iteration();
  if (!progress_) start_progress();
  forget_images();
  try {
    train();
    return trainer_.iteration() < settings_.train.iterations ? stop() : finish();
  } catch (const Error& error) {
    progress_->finish();
    try {
      if (log_) log_->line(std::string("error: ") + error.what());
    } catch (const Error&) {
      // Most likely the same full disk. The first error is the one to report.
    }
    throw;
  }
}

}  // namespace

int run_training(RunRequest request) {
  Ranks* const ranks = request.ranks;
  const bool speaks = is_first(ranks);
  request.quiet |= !speaks;
  const TrainOptions& train = request.options.settings().train;
  if (speaks)
    for (const std::string& warning : request.options.warnings())
      std::fprintf(stderr, "warning: %s\n", warning.c_str());
  set_thread_count(train.threads);
  if (ranks) {
    ranks->set_limit(static_cast<double>(train.rank_timeout));
    if (train.threads == 0) set_thread_count(threads_of_rank(*ranks));
  }
  Settings settings;
  std::shared_ptr<ImageSet> images;
  TrainingPlan plan;
  std::optional<TrainingRun> run;
  const auto prepare = [&] {
    images = std::make_shared<ImageSet>(load_images(request.options.settings(), request.quiet));
    if (request.resume.empty()) complete_classes(request.options, *images);
    request.options.throw_if_problems();
    settings = request.options.settings();
    settings.ranks = request.dry_run ? nullptr : ranks;  // a plan is that of one process
    plan = Trainer::plan(settings, images->count);
    if (request.dry_run) return;
    check_memory(plan.device.device, plan.bytes());
    run.emplace(request, settings, plan, images);
  };
  if (const auto failed = fails_together(ranks, prepare)) return *failed;
  if (!request.quiet)
    for (const std::string& text : request.options.notes()) std::fprintf(stderr, "%s\n", text.c_str());
  if (request.dry_run) {
    if (!speaks) return 0;
    print_dry_run(settings, plan, images, request.quiet);
    const std::string would =
        request.resume.empty()
            ? fmt::format("would create {}/NNNNN-{}-seed{}", settings.output.runs, request.label, settings.train.seed)
            : fmt::format("would continue {}", readable_path(request.resume));
    print_result(would + "\ndry run: nothing written\n");
    return 0;
  }
  return run->run();
}

}  // namespace poise
