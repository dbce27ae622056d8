// The values of a program's flags, read and checked; what is wrong with them is collected, so that a user sees all of it
// at once.
#pragma once
#include <string>
#include <vector>

#include "apps/console/command_line.h"

namespace poise {

// "a,b" -> {"a", "b"}; "" -> {""}.
std::vector<std::string> split_at_commas(const std::string& text);

constexpr int64_t kMostThreads = 4096;  // that a user may ask for

class FlagReader {
 public:
  // `args` stay.
  explicit FlagReader(const CommandLine& args) : args_(args) {}

  // One of `words`, by default the first.
  std::string choice(const std::string& name, const std::vector<std::string>& words);
  int64_t integer(const std::string& name, int64_t otherwise, int64_t least, int64_t most);
  double real(const std::string& name, double otherwise, double least);
  int threads();  // --threads of the CPU; 0, if it was not given: as many as OMP_NUM_THREADS says, else all
  // The argument that is no flag, a path as all of them are (engine/io/user_path.h); `problem` if it is missing.
  std::string positional(const std::string& problem);
  std::string path(const std::string& name) const;  // "" if it was not given
  // Notes a flag whose file would be called after another format than its own, `what`, which ends in one of `endings`.
  // Endings that say nothing are anybody's.
  void refuse_other_ending(const std::string& name, const std::string& what, const std::vector<std::string>& endings);
  // Notes each flag whose file would replace one of `inputs`, or what another of these flags writes.
  void refuse_overwriting(const std::vector<std::string>& names, const std::vector<std::string>& inputs);

  void add_problem(const std::string& problem) { problems_.push_back(problem); }
  const std::vector<std::string>& problems() const { return problems_; }  // without those of the command line itself
  void throw_if_problems() const;                                         // with them: Error(usage)

 private:
  const CommandLine& args_;
  std::vector<std::string> problems_;
};

}  // namespace poise
