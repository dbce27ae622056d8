// A program that runs beside this one and ends with it: when this process dies, however it dies, the system asks the
// child to stop (SIGTERM).
#pragma once
#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace poise {

struct ChildCommand {
  std::vector<std::string> words;  // the program's path and its arguments
  std::string output, errors;      // files of its standard streams, written anew; the same path: both in one
  std::vector<std::pair<std::string, std::string>> environment;  // over that of this process
};

// The exit code, or minus the signal that ended it.
using ChildExit = std::optional<int>;

class ChildProcess {
 public:
  // Descriptors without O_CLOEXEC are inherited. Error(runtime) if there can be no further process or file.
  explicit ChildProcess(const ChildCommand& command);
  ~ChildProcess();  // a child that still runs is killed
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  ChildExit exit();  // nothing while it runs; does not wait
  void ask_to_stop();

 private:
  pid_t pid_ = -1;
  ChildExit exit_;
};

}  // namespace poise
