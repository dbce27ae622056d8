// For tests that run the real programs: start them, send signals, wait, and inspect the files they leave.
#pragma once
#include <sys/types.h>

#include <string>
#include <vector>

#include "tests/support/file_test_tools.h"

namespace poise::test {

struct ProgramResult {
  int exit_code = -1;  // or minus the number of the signal that ended it
  std::string out, err;
};

struct ProgramSetting {
  std::string folder = ".";              // working directory
  int64_t file_size_limit = -1;          // bytes (RLIMIT_FSIZE)
  std::string standard_output;           // "" to capture it, "closed", or a path
  std::vector<std::string> environment;  // NAME=value, added to the environment of the test
};

// A program that runs alongside the test. The destructor kills it and waits for it, if it is still running.
class RunningProgram {
 public:
  RunningProgram(const std::string& program, const std::vector<std::string>& arguments, const ProgramSetting& setting);
  ~RunningProgram();
  RunningProgram(const RunningProgram&) = delete;
  RunningProgram& operator=(const RunningProgram&) = delete;

  bool running();
  void send(int signal);
  ProgramResult wait();
  std::vector<pid_t> children() const;  // its child processes that are still running
  // Waits until `condition` holds (returns true), or until the program ends or a minute passes (returns false).
  template <class Condition>
  bool wait_until(const Condition& condition) {
    for (int i = 0; i < 6000 && running(); ++i) {
      if (condition()) return true;
      pause_ms(10);
    }
    return condition();
  }
  static void pause_ms(int milliseconds);

 private:
  TemporaryFolder captured_;  // what the program writes to its standard streams
  std::string out_path_, err_path_;
  pid_t pid_ = -1;
  int status_ = 0;
  bool ended_ = false;
};

inline ProgramResult run_program_in(const ProgramSetting& setting, const std::string& program,
                                    const std::vector<std::string>& arguments) {
  return RunningProgram(program, arguments, setting).wait();
}

// train_gan with networks so small that an iteration takes milliseconds.
std::vector<std::string> small_run(const std::vector<std::string>& more);
// Eight small pictures in `folder`/pictures: classes a and b, four files each.
void make_pictures(const TemporaryFolder& folder);

// The highest iteration in train.jsonl (whole lines); -1 if there is none.
int64_t last_logged_iteration(const std::string& run);
// Names in a folder, sorted; empty if there is no such folder.
std::vector<std::string> names_in(const std::string& folder);
// The runs in a folder: all names except `latest` and hidden ones.
std::vector<std::string> run_directories(const std::string& runs);

}  // namespace poise::test
