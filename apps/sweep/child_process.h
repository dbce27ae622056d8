// A child program that does not outlive this process: when this process dies in any way, the system sends the child
// SIGTERM.
#pragma once
#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace poise {

struct ChildCommand {
  std::vector<std::string> words;  // the program's path and its arguments
  std::string output, errors;      // files for its standard streams, overwritten; may be the same path
  std::vector<std::pair<std::string, std::string>> environment;  // overrides this process's variables
};

// The exit code, or minus the signal that ended the child.
using ChildExit = std::optional<int>;

class ChildProcess {
 public:
  // Descriptors without O_CLOEXEC are inherited. Error(runtime) if the process or a file cannot be created.
  explicit ChildProcess(const ChildCommand& command);
  ~ChildProcess();  // kills a child that still runs
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  ChildExit exit();  // empty while it runs; does not wait
  void ask_to_stop();

 private:
  pid_t pid_ = -1;
  ChildExit exit_;
};

}  // namespace poise
