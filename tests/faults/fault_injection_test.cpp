// Makes every call by which a program reads or writes fail: each call of a short run of each program, with each error
// that the call can return. What must hold:
//   - exit code and message: 1 if writing failed, 3 if reading failed, with one line that names file and error; 0 if
//     the program can do without the call, and then everything is as without the fault
//   - a call that was interrupted, or did less than requested, changes nothing
//   - no existing file is damaged, no half-written file stays, and a run that was started can be resumed and ends in
//     the same checkpoint, bit for bit
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <set>
#include <thread>

#include "apps/programs/evaluate_gan.h"
#include "apps/programs/inspect_run.h"
#include "apps/programs/sample_gan.h"
#include "apps/programs/train_gan.h"
#include "engine/io/message.h"
#include "kernels/core/parallel.h"
#include "tests/faults/faulty_system.h"
#include "tests/support/program_test_tools.h"

namespace poise {
namespace {

namespace fs = std::filesystem;
using faults::Call;
using faults::Fault;
using faults::Ledger;

using Main = int (*)(int, const char* const*);
using Words = std::vector<std::string>;

struct Scene {
  std::string name;
  Main main;
  Words arguments;
  std::string start;               // the folder that it starts from, to be copied; "": an empty one
  int iterations = 0;              // of the run that it leaves, which can be resumed; 0: it trains none
  std::set<std::string> changing;  // names of files whose bytes contain times, or that it rewrites
};

const std::set<std::string> kOfARun = {"log.txt",       "env.json",  "train.jsonl",
                                       "metrics.jsonl", "report.md", "report.html"};

struct Outcome {
  int exit_code = 0;
  std::string out, err;
};

// Files by name, with their bytes; folders and links by name alone.
using Snapshot = std::map<std::string, std::string>;
Snapshot snapshot_of(const std::string& folder) {
  Snapshot all;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string name = fs::relative(entry.path(), folder).string();
    const bool file = entry.is_regular_file() && !entry.is_symlink();
    all[name] = file ? test::read_bytes(entry.path()) : entry.is_symlink() ? "link" : "folder";
  }
  return all;
}

std::string last_part(const std::string& path) { return split_path(path).name; }

Ledger& shared_ledger() {
  void* memory = ::mmap(nullptr, sizeof(Ledger), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::runtime_error("no shared memory");
  return *new (memory) Ledger;
}

// Runs a program in this process, in `folder`, with its standard streams in files of `captured`.
int run_here(const Scene& scene, const Words& arguments, const std::string& folder, const std::string& captured,
             Ledger* ledger, const Fault& fault) {
  if (::chdir(folder.c_str()) != 0) return 99;
  for (const auto& [name, descriptor] : {std::pair("/out", STDOUT_FILENO), std::pair("/err", STDERR_FILENO)}) {
    const int file = ::open((captured + name).c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
    ::dup2(file, descriptor);
    ::close(file);
  }
  ::setenv("POISE_CACHE", (folder + "/cache").c_str(), 1);
  set_thread_count(1);
  std::vector<const char*> argv = {scene.name.c_str()};
  for (const std::string& word : arguments) argv.push_back(word.c_str());
  if (ledger) faults::begin(folder, *ledger, fault);
  return scene.main(static_cast<int>(argv.size()), argv.data());
}

// The same in a process of its own.
Outcome run(const Scene& scene, const Words& arguments, const std::string& folder, const std::string& captured,
            Ledger* ledger, const Fault& fault) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(run_here(scene, arguments, folder, captured, ledger, fault));
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return {.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status),
          .out = test::read_bytes(captured + "/out"),
          .err = test::read_bytes(captured + "/err")};
}

std::vector<int> errors_of(Call call) {
  constexpr int kLess = 0;
  switch (call) {
    case Call::open_to_read:
      return {EACCES, EIO, EMFILE, EINTR};
    case Call::open_to_write:
      return {EACCES, ENOSPC, EDQUOT, EINTR};
    case Call::read:
      return {EIO, EINTR, kLess};
    case Call::write:
      return {ENOSPC, EIO, EDQUOT, EINTR, kLess};
    case Call::sync:
      return {EIO, ENOSPC, EDQUOT, EINTR};
    case Call::rename:
      return {EACCES, ENOSPC, EIO};
    case Call::make_folder:
      return {EACCES, ENOSPC, EDQUOT};
    case Call::open_folder:
      return {EACCES, EIO, EMFILE};
    case Call::read_folder:
      return {EIO};
    case Call::look:
      return {EACCES, EIO};
    case Call::lock:
      return {ENOLCK, EINTR};
    case Call::remove:
    case Call::link:
    case Call::truncate:
      return {EACCES, EIO};
    case Call::map:
      return {ENOMEM};
  }
  return {};
}

class Stage {
 public:
  Stage(const Scene& scene, const std::string& room) : scene_(scene), folder_(room + "/stage"), captured_(room) {
    warm_up();
    set_up();
    before_ = snapshot_of(folder_);
    ledger_ = &shared_ledger();
    // A run without a fault gives the list of calls and the expected results.
    const Outcome outcome = perform({});
    if (outcome.exit_code != 0) throw std::runtime_error(scene.name + ": " + outcome.err);
    calls_ = *ledger_;
    after_ = snapshot_of(folder_);
    out_ = outcome.out;
  }
  ~Stage() { ::munmap(ledger_, sizeof(Ledger)); }

  int calls() const { return calls_.count; }
  const Ledger::Entry& call(int number) const { return calls_.calls[number]; }

  // Returns "" if everything is as it should be, else what is wrong.
  std::string try_fault(const Fault& fault) {
    set_up();
    const Outcome outcome = perform(fault);
    const Ledger::Entry& call = calls_.calls[fault.at];
    std::string wrong;
    if (!ledger_->fired) {
      wrong = "the call did not come";
    } else {
      const Snapshot now = snapshot_of(folder_);
      const bool harmless = fault.error == EINTR || fault.error == 0;
      wrong = outcome.exit_code == 0 ? complete(now, outcome, call) : refused(outcome, fault, call);
      if (wrong.empty() && harmless && outcome.exit_code != 0) wrong = "an interrupted call was taken for a failure";
      if (wrong.empty() && outcome.exit_code != 0) wrong = untouched(now, call);
      if (wrong.empty() && scene_.iterations > 0 && outcome.exit_code != 0) wrong = resumable(now);
    }
    if (wrong.empty()) return "";
    return fmt_line(fault, call) + ": exit code " + std::to_string(outcome.exit_code) + ": " + wrong + "\n    " +
           outcome.err;
  }

 private:
  // oneDNN generates the machine code of its kernels in each process, which took half of a run's time. This process
  // runs the program once, so that the processes it forks for the faults inherit the code.
  void warm_up() {
    set_up();
    const int out = ::dup(STDOUT_FILENO), err = ::dup(STDERR_FILENO);
    const int exit_code = run_here(scene_, scene_.arguments, folder_, captured_, nullptr, {});
    std::fflush(nullptr);
    ::dup2(out, STDOUT_FILENO), ::dup2(err, STDERR_FILENO);
    ::close(out), ::close(err);
    if (exit_code != 0) throw std::runtime_error(scene_.name + ": " + test::read_bytes(captured_ + "/err"));
  }

  void set_up() {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    if (!scene_.start.empty()) {
      fs::copy(scene_.start, folder_, fs::copy_options::recursive | fs::copy_options::copy_symlinks);
    }
  }

  Outcome perform(const Fault& fault) {
    new (ledger_) Ledger;
    return run(scene_, scene_.arguments, folder_, captured_, ledger_, fault);
  }

  std::string fmt_line(const Fault& fault, const Ledger::Entry& call) const {
    return scene_.name + " " + scene_.arguments[0] + ": " + faults::name_of(call.call) + " " + call.path + " (call " +
           std::to_string(fault.at) + ") " + (fault.error == 0 ? "did less" : errno_text(fault.error)) +
           (fault.from_then_on ? " from then on" : "");
  }

  bool changes(const std::string& name) const {
    return scene_.changing.count(last_part(name)) > 0 || name.starts_with("cache/") || name == "cache" ||
           last_part(name).starts_with("events.out.tfevents.");  // which hold times
  }

  // Everything must be as without the fault, except for extras: the latest link, the cache, the removal of leftovers.
  std::string complete(const Snapshot& now, const Outcome& outcome, const Ledger::Entry& call) const {
    for (const auto& [name, bytes] : after_) {
      if (changes(name) || last_part(name) == "latest") continue;
      const auto found = now.find(name);
      if (found == now.end()) return name + " is missing";
      if (found->second != bytes) return name + " is another";
    }
    for (const auto& [name, bytes] : now) {
      const bool allowed = after_.count(name) || changes(name) || call.call == Call::remove;
      if (!allowed) return name + " stayed";
    }
    if (outcome.out != out_ && scene_.changing.empty()) return "other output: " + outcome.out;
    return "";
  }

  std::string refused(const Outcome& outcome, const Fault& fault, const Ledger::Entry& call) const {
    // Before a file is written, the program looks at what exists: that counts as writing.
    const bool looks = call.call == Call::look && (outcome.err.find(": cannot write the file") != std::string::npos ||
                                                   outcome.err.find(": cannot make the folder") != std::string::npos);
    // A run's own folder is opened to be locked.
    const bool own = outcome.err.find(": cannot open a folder made in it") != std::string::npos;
    const bool writing =
        own || faults::writes(call.call) || call.call == Call::remove || call.call == Call::lock || looks;
    const int expected = writing ? 1 : 3;
    if (outcome.exit_code != expected) return "expected exit code " + std::to_string(expected);
    const size_t at = outcome.err.find("error: ");
    if (at == std::string::npos) return "no message";
    const std::string line = outcome.err.substr(at);
    if (std::count(line.begin(), line.end(), '\n') != 1) return "a message of several lines";
    if (line.find(errno_text(fault.error)) == std::string::npos) return "the message does not say what happened";
    if (fault.from_then_on) return "";  // a later call may be the one whose failure is reported
    std::string name = last_part(call.path);
    if (name.starts_with('.') && name.find(".tmp-") != std::string::npos) name = name.substr(1, name.find(".tmp-") - 1);
    if (name.starts_with(".creating-")) name = "runs";
    if (line.find(name) == std::string::npos &&
        line.find(last_part(split_path(call.path).folder)) == std::string::npos) {
      return "the message does not name " + name;
    }
    return "";
  }

  std::string untouched(const Snapshot& now, const Ledger::Entry& call) const {
    for (const auto& [name, bytes] : before_) {
      if (changes(name) || last_part(name) == "latest") continue;
      const auto found = now.find(name);
      const auto aim = after_.find(name);
      const bool may_go = aim == after_.end();  // a whole run removes it
      if (found == now.end() && !may_go) return name + " is gone";
      if (found != now.end() && found->second != bytes && (aim == after_.end() || found->second != aim->second)) {
        return name + " was damaged";
      }
    }
    for (const auto& [name, bytes] : now) {
      const bool temporary = name.find(".tmp-") != std::string::npos || name.find(".creating-") != std::string::npos;
      if (temporary && call.call != Call::remove) return name + " stayed";
    }
    return "";
  }

  // A run that was started must end in the same checkpoint when resumed; one that was not must have left nothing.
  std::string resumable(const Snapshot& now) {
    std::string run_folder, last;
    for (const auto& [name, bytes] : now) {
      if (name.starts_with("runs/0") && last_part(name) == "config.toml") run_folder = split_path(name).folder;
    }
    for (const auto& [name, bytes] : after_) {
      if (name.find("/checkpoints/step-") != std::string::npos) last = name;
    }
    if (run_folder.empty()) {
      for (const auto& [name, bytes] : now) {
        if (name.starts_with("runs/") && name != "runs/latest" && !name.starts_with("runs/.creating-"))
          return name + " stayed";
      }
      return "";
    }
    // Different errors of one call leave the same files behind, which are resumed only once.
    std::string files;
    for (const auto& [name, bytes] : now) {
      if (!changes(name)) files += name + "\n" + bytes + "\n";
    }
    if (!resumed_.insert(std::hash<std::string>()(files)).second) return "";
    const Outcome again = run(scene_, {"--resume", run_folder, "--iterations", std::to_string(scene_.iterations), "-q"},
                              folder_, captured_, nullptr, {});
    if (again.exit_code != 0) return "cannot be resumed: " + again.err;
    if (test::read_bytes(folder_ + "/" + last) != after_.at(last)) return "the resumed run ends in another checkpoint";
    return "";
  }

  const Scene& scene_;
  std::string folder_, captured_;
  Snapshot before_, after_;
  std::set<size_t> resumed_;  // hashes of what was resumed
  Ledger* ledger_ = nullptr;
  Ledger calls_;
  std::string out_;
};

// The findings of all workers, in shared memory.
struct Totals {
  std::atomic<int> next{0}, faults{0}, wrong{0}, said{0};
  int calls = 0;
  char texts[40][600] = {};
};

std::vector<Fault> faults_of(const Stage& stage) {
  std::vector<Fault> all;
  for (int at = 0; at < std::min(stage.calls(), Ledger::kMost); ++at) {
    const Call call = stage.call(at).call;
    for (const int error : errors_of(call)) all.push_back({.at = at, .error = error});
    if (faults::writes(call)) all.push_back({.at = at, .error = ENOSPC, .from_then_on = true});
  }
  return all;
}

class FaultInjection : public testing::Test {
 protected:
  static void SetUpTestSuite() { std::printf("%-42s %6s %7s %6s\n", "program", "calls", "faults", "wrong"); }
  static void TearDownTestSuite() {
    std::printf("%-42s %6s %7d\n", "all", "", all_faults);
    if (testing::UnitTest::GetInstance()->successful_test_count() == 6) {
      EXPECT_GE(all_faults, 2000);
    }
  }
  void SetUp() override {
    ::setenv("TERM", "dumb", 1), ::setenv("POISE_DEVICE", "cpu", 1), ::setenv("XDG_DATA_HOME", "/nowhere", 1);
    fs::create_directories(room_ / "start/pictures");
    for (const char* name : {"rgb.bmp", "rgb.png", "grey.png", "rgb.jpg"}) {
      fs::copy_file(std::string(POISE_GOLDEN_DIR) + "/pictures/" + name,
                    room_ / ("start/pictures/" + std::string(name)));
    }
    const Scene train{.name = "train_gan", .main = run_train_gan};
    fs::copy(room_ / "start", room_ / "run", fs::copy_options::recursive);
    const Outcome trained = run(train, training({}), room_ / "run", room_.path(), nullptr, {});
    ASSERT_EQ(trained.exit_code, 0) << trained.err;
    test::write_bytes(room_ / "run/out.png", "what was here before");
  }

  static Words training(const Words& more) {
    Words all = test::small_run({"--iterations", "2", "--checkpoint-every", "1", "--sample-every", "1", "--dataset",
                                 "folder", "--data", "pictures", "--tensorboard", "-q"});
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  // Tries all faults of a scene, with one worker per processor, and prints a line of the table.
  void play(const Scene& scene, int expected_calls) {
    void* memory = ::mmap(nullptr, sizeof(Totals), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(memory, MAP_FAILED);
    Totals& totals = *new (memory) Totals;
    std::vector<pid_t> workers;
    const unsigned count = std::max(1u, std::thread::hardware_concurrency());
    for (unsigned worker = 0; worker < count; ++worker) {
      const std::string room = room_ / ("worker" + std::to_string(worker));
      fs::create_directories(room);
      workers.push_back(::fork());
      if (workers.back() == 0) ::_exit(work(scene, room, totals));
    }
    for (const pid_t worker : workers) {
      int status = 0;
      ::waitpid(worker, &status, 0);
      EXPECT_EQ(status, 0) << "a worker died";
    }
    for (int i = 0; i < std::min<int>(totals.said, std::size(totals.texts)); ++i) ADD_FAILURE() << totals.texts[i];
    EXPECT_EQ(totals.wrong, 0);
    EXPECT_GE(totals.calls, expected_calls) << "fewer calls than there must be: is the program still watched?";
    std::printf("%-42s %6d %7d %6d\n", (scene.name + " " + scene.arguments[0]).c_str(), totals.calls,
                totals.faults.load(), totals.wrong.load());
    std::fflush(stdout);
    all_faults += totals.faults;
    ::munmap(memory, sizeof(Totals));
  }

  static int all_faults;

 private:
  static int work(const Scene& scene, const std::string& room, Totals& totals) {
    try {
      Stage stage(scene, room);
      const std::vector<Fault> all = faults_of(stage);
      totals.calls = stage.calls();
      for (int i = totals.next++; i < static_cast<int>(all.size()); i = totals.next++) {
        ++totals.faults;
        const std::string wrong = stage.try_fault(all[static_cast<size_t>(i)]);
        if (wrong.empty()) continue;
        ++totals.wrong;
        const int place = totals.said++;
        if (place < static_cast<int>(std::size(totals.texts))) {
          std::strncpy(totals.texts[place], wrong.c_str(), sizeof totals.texts[0] - 1);
        }
      }
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
      return 1;
    }
    return 0;
  }

 protected:
  const test::TemporaryFolder room_;
};
int FaultInjection::all_faults = 0;

TEST_F(FaultInjection, NewRun) {
  play({.name = "train_gan",
        .main = run_train_gan,
        .arguments = training({}),
        .start = room_ / "start",
        .iterations = 2,
        .changing = kOfARun},
       50);
}

TEST_F(FaultInjection, ResumedRun) {
  play({.name = "train_gan",
        .main = run_train_gan,
        .arguments = {"--resume", "runs/latest", "--iterations", "3", "--data", "pictures", "-q"},
        .start = room_ / "run",
        .iterations = 3,
        .changing = kOfARun},
       50);
}

TEST_F(FaultInjection, Sampling) {
  play({.name = "sample_gan",
        .main = run_sample_gan,
        .arguments = {"runs/latest", "--seeds", "0-2", "-o", "out.png", "--raw", "out.bin", "--frames", "frames",
                      "--batch-norm", "batch"},
        .start = room_ / "run"},
       20);
}

TEST_F(FaultInjection, Evaluation) {
  play(
      {.name = "evaluate_gan",
       .main = run_evaluate_gan,
       .arguments = {"runs/latest", "--reference", "pictures", "--images", "4", "--metrics", "frechet-random-64", "-q"},
       .start = room_ / "run"},
      20);
}

TEST_F(FaultInjection, Statistics) {
  play({.name = "evaluate_gan",
        .main = run_evaluate_gan,
        .arguments = {"make-stats", "pictures", "--image-size", "32", "--metrics", "frechet-random-64", "-o", "s.npz",
                      "-q"},
        .start = room_ / "start"},
       20);
}

TEST_F(FaultInjection, Reports) {
  play({.name = "inspect_run",
        .main = run_inspect_run,
        .arguments = {"report", "runs/latest"},
        .start = room_ / "run",
        .changing = kOfARun},
       10);
  play(
      {.name = "inspect_run", .main = run_inspect_run, .arguments = {"summary", "runs/latest"}, .start = room_ / "run"},
      5);
  play({.name = "inspect_run", .main = run_inspect_run, .arguments = {"flops", "runs/latest"}, .start = room_ / "run"},
       5);
  play({.name = "inspect_run",
        .main = run_inspect_run,
        .arguments = {"compare", "runs/latest", "runs/latest", "-o", "compare.html"},
        .start = room_ / "run",
        .changing = {"compare.html"}},
       10);
  play({.name = "inspect_run",
        .main = run_inspect_run,
        .arguments = {"verify-data", "pictures", "--dataset", "folder"},
        .start = room_ / "start"},
       10);
}

}  // namespace
}  // namespace poise
