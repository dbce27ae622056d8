#include "apps/sweep/sweep_scheduler.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <deque>
#include <list>
#include <memory>
#include <thread>

#include "apps/console/progress.h"
#include "apps/console/signals.h"
#include "apps/sweep/child_process.h"
#include "engine/io/atomic_file.h"
#include "engine/io/message.h"
#include "engine/io/read_file.h"
#include "engine/io/system_file.h"

namespace poise {
namespace {

constexpr int kStopped = 75;  // train_gan's exit code after a signal
constexpr double kSecondsBetweenLines = 60;
constexpr auto kTick = std::chrono::milliseconds(100);

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

void rest() { std::this_thread::sleep_for(kTick); }

// A lock on a file. It is held as long as any process has the descriptor, including processes that inherited it.
class Lock {
 public:
  Lock(const std::string& path, bool inherited)
      : descriptor_(::open(path.c_str(), O_RDWR | O_CREAT | (inherited ? 0 : O_CLOEXEC), 0666)) {
    if (descriptor_ < 0) {
      const int error = errno;
      fail(ErrorKind::runtime, path + ": cannot create the file: " + errno_text(error) + "; " + write_remedy(error));
    }
  }
  ~Lock() { ::close(descriptor_); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;
  bool take() { return lock_if_free(descriptor_); }

 private:
  int descriptor_;
};

class Scheduler {
 public:
  Scheduler(const SweepFolder& folder, const SweepSchedule& schedule)
      : folder_(folder),
        schedule_(schedule),
        sweep_lock_(made(folder.path()) + "/.sweep_lock", false),
        runs_lock_(folder.path() + "/.runs_lock", true) {}

  SweepEnd run() {
    take_locks();
    folder_.write_plan();
    if (signals_.stop_requested()) return SweepEnd::stopped;
    for (const SweepRun& run : folder_.runs()) {
      progress_.push_back({.state = folder_.state(run)});
      if (!progress_.back().state.finished()) waiting_.push_back(progress_.size() - 1);
    }
    say(fmt::format("{} runs, {} of them finished; {} at a time", folder_.runs().size(),
                    folder_.runs().size() - waiting_.size(), places()));
    bool stopping = false;
    said_at_ = now();
    while (!working_.empty() || (!waiting_.empty() && !stopping)) {
      if (signals_.stop_requested() && !stopping) {
        stopping = true;
        say(fmt::format("{}: saving and stopping {} runs", signals_.stop_signal(), working_.size()));
        for (const auto& work : working_) work->child->ask_to_stop();
      }
      while (!stopping && !waiting_.empty() && working_.size() < places()) {
        const size_t index = waiting_.front();
        waiting_.pop_front();
        begin(index);
      }
      rest();
      for (auto work = working_.begin(); work != working_.end();) {
        const ChildExit exit = (*work)->child->exit();
        const bool goes_on = !exit || ended(**work, *exit, stopping);
        work = goes_on ? std::next(work) : working_.erase(work);
      }
      if (now() - said_at_ > kSecondsBetweenLines) say_progress("");
    }
    if (!waiting_.empty() || stopped_ > 0) return SweepEnd::stopped;
    return failed_ > 0 ? SweepEnd::failed : SweepEnd::finished;
  }

 private:
  struct RunProgress {
    RunState state;
    bool failed = false;
  };
  struct Work {
    size_t run = 0;
    std::string evaluation;  // "": training
    double began = 0;
    std::unique_ptr<ChildProcess> child;
  };

  static const std::string& made(const std::string& path) {
    make_folders(path);
    return path;
  }

  // The first lock belongs to this process. The second is shared with the programs that it starts: if an earlier
  // sweep_gan was killed, they may still be saving.
  void take_locks() {
    if (!sweep_lock_.take()) {
      fail(ErrorKind::runtime, folder_.path() +
                                   ": another sweep_gan is running in this folder; wait for it, stop it, or give "
                                   "another folder");
    }
    bool said = false;
    while (!runs_lock_.take() && !signals_.stop_requested()) {
      if (!said) say("waiting for runs of an earlier sweep_gan in this folder to save and stop");
      said = true;
      rest();
    }
  }

  size_t places() const {
    return static_cast<size_t>(std::max<int64_t>(1, schedule_.threads / schedule_.threads_per_run));
  }

  void say(const std::string& text) const {
    if (!schedule_.quiet) std::fprintf(stderr, "sweep_gan: %s\n", text.c_str());
  }

  void begin(size_t index) {
    auto work = std::make_unique<Work>();
    work->run = index;
    start(*work);
    working_.push_back(std::move(work));
  }

  // Starts what a run needs next: training, or the first evaluation that is still to be done.
  void start(Work& work) {
    const SweepRun& run = folder_.runs()[work.run];
    const RunState& state = progress_[work.run].state;
    ChildCommand command{.words = {}, .output = folder_.output_of(run), .errors = folder_.output_of(run)};
    if (state.trained) {
      work.evaluation = state.unevaluated.front();
      Problems none;  // sweep_gan has already reported them
      command.words = {schedule_.programs + "/evaluate_gan", state.directory};
      for (const std::string& word : evaluation_words(work.evaluation, none)) command.words.push_back(word);
      command.words.insert(command.words.end(), {"--json", "--quiet"});
      command.output = results_of(run);
    } else {
      command.words = folder_.training_arguments(run, state.directory, schedule_.threads_per_run);
      command.words.insert(command.words.begin(), schedule_.programs + "/train_gan");
      command.environment = folder_.training_environment();
    }
    command.environment.emplace_back("OMP_NUM_THREADS", fmt::format("{}", schedule_.threads_per_run));
    work.began = now();
    work.child = std::make_unique<ChildProcess>(command);
    const std::string place = state.directory.empty() ? "" : fmt::format(" from iteration {}", state.iteration);
    say(fmt::format("{}: {}", run.name, state.trained ? "evaluates " + work.evaluation : "trains" + place));
  }

  std::string results_of(const SweepRun& run) const { return folder_.path() + "/output/" + run.name + ".jsonl"; }

  // Returns true if the run continues with a further program.
  bool ended(Work& work, int exit, bool stopping) {
    const SweepRun& run = folder_.runs()[work.run];
    std::string failure;
    if (exit == 0 && !work.evaluation.empty()) {
      try {
        folder_.write_evaluation(run, work.evaluation, progress_[work.run].state.iteration, now() - work.began,
                                 read_text_if_exists(results_of(run), ErrorKind::runtime).value_or(""));
      } catch (const Error& error) {
        failure = error.what();
      }
    } else if (exit != 0 && !(stopping && (exit == kStopped || exit < 0))) {
      failure = exit < 0 ? fmt::format("signal {}", -exit) : fmt::format("exit code {}", exit);
    }
    const bool was_trained = progress_[work.run].state.trained;
    RunState& state = progress_[work.run].state = folder_.state(run);
    if (failure.empty() && exit == 0 && !state.trained) failure = "it ended before its last iteration";
    if (!failure.empty()) {
      folder_.write_failure(run, failure);
      state = folder_.state(run);
      progress_[work.run].failed = true;
      ++failed_;
      say_progress(fmt::format("{} failed ({}): {}; its full output is in {}", run.name, failure, state.failure,
                               folder_.output_of(run)));
      return false;
    }
    if (state.finished()) {
      say_progress(run.name + " is finished");
      return false;
    }
    if (stopping || exit != 0) {
      ++stopped_;
      return false;
    }
    if (!was_trained) say_progress(run.name + " is trained");
    start(work);
    return true;
  }

  // The remaining time, shared by all places. Estimated from iterations of the same cell or, without any, of all cells.
  std::string eta() {
    for (const auto& work : working_) {
      RunProgress& progress = progress_[work->run];
      if (!progress.state.trained) progress.state = folder_.state(folder_.runs()[work->run]);
    }
    std::vector<double> seconds(folder_.cells().size()), iterations(folder_.cells().size());
    double all_seconds = 0, all_iterations = 0, evaluation_seconds = 0, evaluations = 0;
    for (size_t i = 0; i < progress_.size(); ++i) {
      const RunState& state = progress_[i].state;
      seconds[folder_.runs()[i].cell] += state.seconds;
      iterations[folder_.runs()[i].cell] += static_cast<double>(state.iteration);
      all_seconds += state.seconds;
      all_iterations += static_cast<double>(state.iteration);
      evaluation_seconds += state.evaluation_seconds;
      evaluations += static_cast<double>(folder_.plan().evaluations.size() - state.unevaluated.size());
    }
    if (!(all_seconds > 0)) return "--";
    double left = 0;
    for (size_t i = 0; i < progress_.size(); ++i) {
      const RunState& state = progress_[i].state;
      if (progress_[i].failed) continue;
      const SweepRun& run = folder_.runs()[i];
      const double missing = static_cast<double>(run.options.settings().train.iterations - state.iteration);
      const double each =
          seconds[run.cell] > 0 ? seconds[run.cell] / iterations[run.cell] : all_seconds / all_iterations;
      if (!state.trained) left += std::max(0.0, missing) * each;
      if (evaluations > 0) left += static_cast<double>(state.unevaluated.size()) * evaluation_seconds / evaluations;
    }
    return format_duration(left / static_cast<double>(places()));
  }

  void say_progress(const std::string& event) {
    said_at_ = now();
    if (schedule_.quiet) return;
    const std::string left = eta();  // also updates the states of the active runs
    const auto finished = std::count_if(progress_.begin(), progress_.end(),
                                        [](const RunProgress& progress) { return progress.state.finished(); });
    std::string text = event.empty() ? "" : event + "; ";
    text += fmt::format("{} of {} runs finished", finished, progress_.size());
    if (failed_ > 0) text += fmt::format(", {} failed", failed_);
    for (const auto& work : working_) {
      if (!event.empty()) break;
      const SweepRun& run = folder_.runs()[work->run];
      text += work->evaluation.empty() ? fmt::format(", {} at {}/{}", run.name, progress_[work->run].state.iteration,
                                                     run.options.settings().train.iterations)
                                       : fmt::format(", {} evaluates", run.name);
    }
    say(text + ", ETA " + left);
  }

  const SweepFolder& folder_;
  const SweepSchedule& schedule_;
  Lock sweep_lock_, runs_lock_;
  SignalWatch signals_;
  std::vector<RunProgress> progress_;  // one for each of the folder's runs
  std::deque<size_t> waiting_;
  std::list<std::unique_ptr<Work>> working_;
  int failed_ = 0, stopped_ = 0;
  double said_at_ = 0;
};

}  // namespace

SweepEnd run_sweep(const SweepFolder& folder, const SweepSchedule& schedule) {
  return Scheduler(folder, schedule).run();
}

}  // namespace poise
