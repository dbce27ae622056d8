// Reads and checks the values of a program's flags. Problems are collected, so that a user sees all of them at once.
#pragma once
#include <string>
#include <vector>

#include "apps/console/command_line.h"

namespace poise {

// "a,b" -> {"a", "b"}; "" -> {""}.
std::vector<std::string> split_at_commas(const std::string& text);

constexpr int64_t kMostThreads = 4096;  // limit for --threads

class FlagReader {
 public:
  // `args` must outlive the reader.
  explicit FlagReader(const CommandLine& args) : args_(args) {}

  // One of `words`; the first is the default.
  std::string choice(const std::string& name, const std::vector<std::string>& words);
  int64_t integer(const std::string& name, int64_t otherwise, int64_t least, int64_t most);
  double real(const std::string& name, double otherwise, double least);
  int threads();  // --threads for the CPU; 0 if not given, which means OMP_NUM_THREADS, or all cores without it
  // The positional argument, always a path (engine/io/user_path.h). Adds `problem` if it is missing.
  std::string positional(const std::string& problem);
  std::string path(const std::string& name) const;  // "" if not given
  // Adds a problem if the flag's file has the extension of another known format. `what` states the format that is
  // written; its extensions are `endings`. Unknown extensions are allowed.
  void refuse_other_ending(const std::string& name, const std::string& what, const std::vector<std::string>& endings);
  // Adds a problem for each flag whose file would replace one of `inputs` or the output of another of these flags.
  void refuse_overwriting(const std::vector<std::string>& names, const std::vector<std::string>& inputs);

  void add_problem(const std::string& problem) { problems_.push_back(problem); }
  const std::vector<std::string>& problems() const { return problems_; }  // without those of the command line itself
  void throw_if_problems() const;                                         // Error(usage) with all problems

 private:
  const CommandLine& args_;
  std::vector<std::string> problems_;
};

}  // namespace poise
