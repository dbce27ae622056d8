#include "apps/programs/training_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iterator>
#include <memory>
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
#include "apps/run/run_files.h"
#include "apps/training/iteration_timing.h"
#include "engine/io/message.h"

namespace poise {
namespace {

constexpr int kStopped = 75;  // EX_TEMPFAIL: run again to continue

bool due(int64_t every, int64_t iteration) { return every > 0 && iteration % every == 0; }

bool logged(int64_t every, int64_t iteration) {
  return due(every, iteration) ||
         std::find(std::begin(kAlwaysLogged), std::end(kAlwaysLogged), iteration) != std::end(kAlwaysLogged);
}

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
  void open_files();
  void start_progress();
  void note(const std::string& text);
  void forget_images();
  void log_iteration();
  void log_mask_events();
  bool evaluation_due(int64_t iteration) const;
  bool evaluation_missing() const;
  bool evaluate();
  bool measure();
  void train();
  void compare_speed();
  int stop();
  int finish();

  const RunRequest& request_;
  const OptionSet& options_;
  const Settings settings_;
  Ranks* const ranks_;
  const std::shared_ptr<ImageSet> images_;
  Trainer trainer_;
  std::optional<Evaluator> evaluator_;
  SignalWatch signals_;
  std::unique_ptr<RunFiles> files_;  // on the first rank only
  std::optional<Progress> progress_;
  int64_t logged_at_ = 0;
  std::optional<SpeedComparison> speed_;
  bool nothing_left_ = false;            // a finished run was resumed
  bool evaluation_interrupted_ = false;  // by the signal that stops the run
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

// Creates the run directory, or opens the one to resume.
void TrainingRun::open_files() {
  const RunFiles::Run run = {.options = options_, .settings = settings_, .trainer = trainer_, .images = *images_};
  const bool resumes = !request_.resume.empty();
  files_ = resumes ? RunFiles::resume(run, request_.resume) : RunFiles::create(run, request_.label);
  nothing_left_ = resumes && trainer_.iteration() == settings_.train.iterations;
  start_progress();
  note(trainer_.device().text);
  note(trainer_.training_plan().data.text);
  if (ranks_) note(ranks_text(*ranks_, settings_.train));
  for (const std::string& warning : options_.warnings()) files_->log("warning: " + warning);
  for (const std::string& text : options_.notes()) files_->log(text);
  for (const std::string& warning : images_->warnings) files_->log("warning: " + warning);
  for (const std::string& warning : files_->warnings()) note("warning: " + warning);
  const RunDirectory& directory = files_->directory();
  if (resumes) return note(fmt::format("resumed {} at iteration {}", directory.path(), trainer_.iteration()));
  log_mask_events();
  if (!directory.has_latest()) {
    note(fmt::format("warning: {}/latest cannot be made a link to this run; if it is something else, move it away",
                     settings_.output.runs));
  }
  const DataOptions& data = settings_.data;
  note(fmt::format("run {}: {} images{} from {}{}", directory.path(), format_count(images_->count),
                   data.only_classes == "all" ? "" : fmt::format(" of {}", fmt::join(images_->class_names, ", ")),
                   images_->source,
                   data.data == "sample" ? " (the bundled sample; --data FOLDER for all of CIFAR-10)" : ""));
}

void TrainingRun::start_progress() {
  ProgressStyle style = style_of(STDERR_FILENO);
  style.quiet = request_.quiet || !is_first(ranks_);
  progress_.emplace(STDERR_FILENO, style, trainer_.iteration(), settings_.train.iterations);
}

// Frees the pixels if they are no longer needed: a trainer that does not stream them has a copy on its device.
void TrainingRun::forget_images() {
  const bool wanted = trainer_.training_plan().data.streamed || (evaluator_ && evaluator_->needs_images()) ||
                      settings_.output.compare_with_dense > 0;
  if (!wanted) images_->pixels = {};
}

void TrainingRun::note(const std::string& text) {
  if (files_) files_->log(text);
  progress_->note(text);
}

void TrainingRun::log_iteration() {
  const int64_t iteration = trainer_.iteration();
  const std::vector<IterationReport> reports = trainer_.reports(iteration - logged_at_);
  if (files_) {
    files_->write_iteration(reports.back(), progress_->training_seconds());
    progress_->losses(reports.back().loss_d, reports.back().loss_g);
    files_->log(progress_plain_line(progress_->view()));
  }
  logged_at_ = iteration;
  for (const IterationReport& r : reports) {
    if (r.finite()) continue;
    // Losses are means over all ranks, so all ranks get here.
    throw SharedError(
        ErrorKind::runtime,
        fmt::format("iteration {}: loss_d is {} and loss_g is {}: training diverged; try a lower learning_rate_g or "
                    "learning_rate_d; the last good checkpoint is {}",
                    r.iteration, r.loss_d, r.loss_g, files_ ? files_->last_checkpoint() : "of the first rank"));
  }
  progress_->line();
}

void TrainingRun::log_mask_events() {
  const std::vector<MaskEvent> masks = trainer_.take_mask_events();
  const std::vector<ExecutionEvent> executions = trainer_.take_execution_events();
  if (files_) files_->write_masks(masks, executions);
}

bool TrainingRun::evaluation_due(int64_t iteration) const {
  return evaluator_ && iteration > 0 &&
         (due(settings_.evaluation.eval_every, iteration) || iteration == settings_.train.iterations);
}

// True if a resumed run lacks the evaluation at its iteration because that was interrupted. All ranks call it.
bool TrainingRun::evaluation_missing() const {
  bool missing = files_ && !request_.resume.empty() && evaluation_due(trainer_.iteration()) &&
                 files_->evaluated_at() != trainer_.iteration();
  if (ranks_) ranks_->broadcast(&missing, sizeof missing);
  return missing;
}

// Returns false if the signal that stops the run interrupted it. All ranks call it.
bool TrainingRun::evaluate() {
  bool done = measure();
  if (ranks_) ranks_->broadcast(&done, sizeof done);
  if (!done) {
    evaluation_interrupted_ = true;
    stopped_by_ = requests_of_all(ranks_, signals_).stop;
  }
  return done;
}

// Measures the chosen metric of the averaged weights and keeps the best checkpoint by it. Failures other than those of
// ranks become warnings, as training can continue. Returns false, on the first rank, if it was interrupted.
bool TrainingRun::measure() {
  const std::string when = fmt::format("iteration {}", trainer_.iteration());
  const auto started = std::chrono::steady_clock::now();
  const auto warn = [&](const char* what) {
    note(fmt::format("warning: {}: no {}: {}; training continues", when, evaluator_->label(), what));
  };
  std::optional<EvaluationResult> result;
  try {
    result = evaluator_->evaluate(
        trainer_, *images_, files_ ? files_->directory().file("reference.npz") : "",
        [this](const std::string& text) { note(text); }, [this] { return signals_.stop_requested(); });
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::ranks) throw;
    return warn(error.what()), true;
  } catch (const std::exception& error) {
    return warn(error.what()), true;
  }
  forget_images();
  if (!files_) return true;
  if (!result) return note(fmt::format("{}: evaluation interrupted; --resume runs it", when)), false;
  for (const std::string& warning : result->warnings) note("warning: " + warning);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started;
  result->record.push_back({"evaluation_seconds", took.count()});
  files_->write_metric(result->record, evaluator_->label(), result->value);
  const std::string text = fmt::format("{}  {} {:.5f}", when, evaluator_->label(), result->value);
  const auto best = files_->checkpoints().best();
  const bool same = best && best->metric == evaluator_->label() && best->protocol == result->protocol();
  if (same && !evaluator_->better(result->value, best->score)) return note(text), true;
  files_->save_best(result->value, evaluator_->label(), result->protocol());
  note(text + (best && !same ? " (the best so far was measured differently; a new one begins)" : " (best so far)"));
  return true;
}

void TrainingRun::train() {
  const OutputOptions& s = settings_.output;
  const int64_t iterations = settings_.train.iterations;
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
    const bool evaluates = evaluation_due(iteration);
    const bool draws = due(s.sample_every, iteration), saves = due(s.checkpoint_every, iteration) || last || asked.save;
    if (evaluates) evaluate();
    if (draws && files_) files_->draw_fakes();
    if (saves) trainer_.check_ranks_agree();
    if (saves && files_) files_->save();
    if (asked.save && files_) note("saved " + files_->last_checkpoint() + " (SIGUSR2)");
    if (ranks_ && (evaluates || draws || saves)) ranks_->wait_for_all();
    progress_->resume();
  }
}

// Times iterations in turns with a dense twin. The run is saved, so it does not matter that they change the trainer.
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
    files_->write_speed(*speed);
    files_->log(speed_text(*speed));
    speed_ = speed;
  } catch (const Error& error) {
    note(fmt::format("warning: not timed beside dense iterations: {}", error.what()));
  }
}

int TrainingRun::stop() {
  progress_->pause();
  trainer_.check_ranks_agree();
  if (!files_) return kStopped;
  files_->save();
  const std::string& run = files_->directory().path();
  const std::string command = shell_word(request_.program) + " --resume " + shell_word(run);
  note(fmt::format("stopped by {} after iteration {}, saved {}", stopped_by_, trainer_.iteration(),
                   files_->last_checkpoint()));
  try {
    write_html_report(run);
  } catch (const Error& error) {
    note(std::string("warning: no report.html: ") + error.what());  // the run itself is saved
  }
  files_->log("resume with: " + command);
  progress_->finish();
  try {
    print_result("resume with: " + command + "\n");
  } catch (const Error&) {
    // The terminal may be gone (SIGHUP). The run is saved, and log.txt has the command.
  }
  return kStopped;
}

int TrainingRun::finish() {
  if (!files_) return 0;
  progress_->pause();
  const int64_t iteration = trainer_.iteration();
  const RunDirectory& directory = files_->directory();
  files_->draw_fakes();
  const auto [for_reader, for_device] = trainer_.data_waits();
  const std::string waits = fmt::format("waited {} times for the reader, {} for the device", for_reader, for_device);
  if (trainer_.training_plan().data.streamed) files_->log("streamed data: " + waits);
  const RunSummary summary{.device = trainer_.device().text,
                           .iterations = iteration,
                           .seconds = files_->earlier_seconds() + progress_->training_seconds(),
                           .flops_per_iteration = trainer_.training_plan().flops,
                           .last_picture = files_->last_picture(),
                           .last_checkpoint = files_->last_checkpoint().substr(directory.path().size() + 1)};
  const std::string report = write_report(directory, options_, summary);
  if (!nothing_left_) compare_speed();
  files_->log(finished_line(iteration));
  const std::string figures = write_html_report(directory.path());
  progress_->finish();
  std::string text;
  if (nothing_left_) {
    text = fmt::format("nothing left to do: {} has all of its {}; --iterations N asks for more\n", directory.path(),
                       counted(iteration, "iteration"));
  }
  text += fmt::format("{} in {}, {:.3g} it/s, {:.1f} GFLOP/s dense-equivalent, peak memory {:.0f} MiB\n",
                      counted(iteration, "iteration"), format_duration(summary.seconds), summary.it_per_s(),
                      summary.gflops(), peak_memory_mib());
  if (const auto best = files_->checkpoints().best()) {
    text += fmt::format("{:<11} best {:.5f} at iteration {}: {}\n", best->metric, best->score, best->step,
                        files_->checkpoints().path_of(best->step));
  }
  text += fmt::format("pictures    {}\n", directory.file(summary.last_picture));
  text += fmt::format("checkpoint  {}\n", files_->last_checkpoint());
  text += fmt::format("report      {}\n", report);
  text += fmt::format("figures     {}\n", figures);
  if (speed_) text += fmt::format("speed       {}\n", speed_text(*speed_));
  print_result(text);
  return 0;
}

int TrainingRun::run() {
  if (is_first(ranks_)) open_files();  // the other ranks take their state from the first
  if (ranks_) ranks_->wait_for_all();
  trainer_.take_state_of_first_rank();
  logged_at_ = trainer_.iteration();
  if (!progress_) start_progress();
  forget_images();
  try {
    const bool missing = evaluation_missing();
    if (missing) {
      nothing_left_ = false;
      progress_->pause();
      evaluate();
      progress_->resume();
    }
    if (!evaluation_interrupted_) train();
    return evaluation_interrupted_ || trainer_.iteration() < settings_.train.iterations ? stop() : finish();
  } catch (const Error& error) {
    progress_->finish();
    try {
      if (files_) files_->log(std::string("error: ") + error.what());
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
    settings.ranks = request.dry_run ? nullptr : ranks;  // a dry run plans for one process
    plan = Trainer::plan(settings, images->count);
    if (request.dry_run) {  // check that its evaluations would be possible
      const EvaluationOptions& evaluation = settings.evaluation;
      if (evaluation.eval_every > 0) Evaluator(evaluation, settings.data, plan.device.device, *images, nullptr);
      return;
    }
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
