#include "apps/sweep/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "engine/io/message.h"
#include "kernels/core/error.h"

namespace poise {
namespace {

std::vector<std::string> merged_environment(const ChildCommand& command) {
  std::vector<std::string> all;
  for (char** entry = environ; entry && *entry; ++entry) {
    const std::string text = *entry, name = text.substr(0, text.find('='));
    bool replaced = false;
    for (const auto& [key, value] : command.environment) replaced = replaced || key == name;
    if (!replaced) all.push_back(text);
  }
  for (const auto& [key, value] : command.environment) all.push_back(key + "=" + value);
  return all;
}

std::vector<char*> pointers(const std::vector<std::string>& words) {
  std::vector<char*> all;
  for (const std::string& word : words) all.push_back(const_cast<char*>(word.c_str()));
  all.push_back(nullptr);
  return all;
}

int open_output(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
  if (descriptor < 0) {
    const int error = errno;
    fail(ErrorKind::runtime, path + ": cannot create the file: " + errno_text(error) + "; " + write_remedy(error));
  }
  return descriptor;
}

}  // namespace

ChildProcess::ChildProcess(const ChildCommand& command) {
  const std::vector<std::string> environment = merged_environment(command);
  const std::vector<char*> words = pointers(command.words), variables = pointers(environment);
  const int output = open_output(command.output);
  const int errors = command.errors == command.output ? output : open_output(command.errors);
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ == 0) {    // the child: only calls that are safe between fork and exec
    ::setpgid(0, 0);  // so that Ctrl-C reaches only the sweep, which then stops its runs
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != parent) ::_exit(127);  // the parent died before prctl() took effect
    ::dup2(output, STDOUT_FILENO);
    ::dup2(errors, STDERR_FILENO);
    ::execve(words[0], words.data(), variables.data());
    ::_exit(127);
  }
  const int error = errno;
  ::close(output);
  if (errors != output) ::close(errors);
  if (pid_ < 0) fail(ErrorKind::runtime, command.words[0] + ": cannot start: " + errno_text(error));
}

ChildProcess::~ChildProcess() {
  if (exit()) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

ChildExit ChildProcess::exit() {
  int status = 0;
  if (!exit_ && ::waitpid(pid_, &status, WNOHANG) == pid_) {
    exit_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  return exit_;
}

void ChildProcess::ask_to_stop() {
  if (!exit()) ::kill(pid_, SIGTERM);
}

}  // namespace poise
