#include "tests/support/program_test_tools.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <sstream>
#include <thread>

#include "apps/run/run_record.h"

namespace poise::test {

RunningProgram::RunningProgram(const std::string& program, const std::vector<std::string>& arguments,
                               const ProgramSetting& setting)
    : out_path_(captured_ / "out"), err_path_(captured_ / "err") {
  std::vector<char*> argv = {const_cast<char*>(program.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  // One thread, because tests run in parallel and threads that wait for each other on busy cores cost seconds.
  std::vector<std::string> variables = {"TERM=dumb", "PATH=/usr/bin:/bin", "OMP_NUM_THREADS=1", "POISE_DEVICE=cpu"};
  variables.insert(variables.end(), setting.environment.begin(), setting.environment.end());
  std::vector<char*> environment;
  for (const std::string& variable : variables) environment.push_back(const_cast<char*>(variable.c_str()));
  environment.push_back(nullptr);
  const std::string out = setting.standard_output.empty() ? out_path_ : setting.standard_output;

  pid_ = ::fork();
  if (pid_ != 0) return;
  // In the child, use only calls that are safe between fork and exec. If the tests run under nohup or in the
  // background, some signals are ignored, and the child would inherit that.
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2}) ::signal(signal, SIG_DFL);
  if (::chdir(setting.folder.c_str()) != 0) ::_exit(99);
  const int err_descriptor = ::open(err_path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
  ::dup2(err_descriptor, 2);
  if (out == "closed") {
    ::close(1);
  } else {
    ::dup2(::open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666), 1);
  }
  if (setting.file_size_limit >= 0) {
    const rlimit limit{static_cast<rlim_t>(setting.file_size_limit), static_cast<rlim_t>(setting.file_size_limit)};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ::execve(argv[0], argv.data(), environment.data());
  ::_exit(98);
}

RunningProgram::~RunningProgram() {
  if (!running()) return;
  send(SIGKILL);
  wait();
}

bool RunningProgram::running() {
  if (!ended_ && ::waitpid(pid_, &status_, WNOHANG) == pid_) ended_ = true;
  return !ended_;
}

void RunningProgram::send(int signal) {
  if (running()) ::kill(pid_, signal);
}

ProgramResult RunningProgram::wait() {
  if (!ended_ && ::waitpid(pid_, &status_, 0) == pid_) ended_ = true;
  return {.exit_code = WIFEXITED(status_) ? WEXITSTATUS(status_) : -WTERMSIG(status_),
          .out = read_bytes(out_path_),
          .err = read_bytes(err_path_)};
}

std::vector<pid_t> RunningProgram::children() const {
  std::istringstream text(read_bytes("/proc/" + std::to_string(pid_) + "/task/" + std::to_string(pid_) + "/children"));
  std::vector<pid_t> all;
  for (pid_t child = 0; text >> child;) all.push_back(child);
  return all;
}

void RunningProgram::pause_ms(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
}

std::vector<std::string> small_run(const std::vector<std::string>& more) {
  std::vector<std::string> all = {
      "--width-g",  "4", "--width-d",      "4", "--latent-size", "8", "--batch-size-d", "2", "--batch-size-g",     "2",
      "--n-critic", "2", "--sample-count", "4", "--log-every",   "1", "--sample-every", "0", "--checkpoint-every", "5"};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

int64_t last_logged_iteration(const std::string& run) {
  if (!std::filesystem::exists(run + "/config.toml")) return -1;  // not there yet
  const Points logged = read_run(run).of("loss_d");
  return logged.empty() ? -1 : static_cast<int64_t>(logged.back().first);
}

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> run_directories(const std::string& runs) {
  std::vector<std::string> names;
  for (const std::string& name : names_in(runs)) {
    if (name[0] != '.' && name != "latest") names.push_back(name);
  }
  return names;
}

void make_pictures(const TemporaryFolder& folder) {
  const std::string golden = std::string(POISE_GOLDEN_DIR) + "/pictures/";
  for (const char* class_name : {"a", "b"}) {
    std::filesystem::create_directories(folder / "pictures/" + class_name);
    for (const char* name : {"rgb.png", "rgb.jpg", "rgb.bmp", "grey.png"}) {
      std::filesystem::copy_file(golden + name, folder / "pictures/" + class_name + "/" + name);
    }
  }
}

}  // namespace poise::test
