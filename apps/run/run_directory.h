// The directory of one run:
//
//   runs/00007-tiny-seed1/  config.toml  env.json  log.txt  train.jsonl  report.md  report.html  checkpoints/
//                           samples/
//   runs/latest             a link to the newest
//
// A directory appears complete (including the first checkpoint) or not at all: it is filled under a temporary name and
// then renamed. While a program writes to a directory, under either name, it holds the directory's lock, which is
// released when the process ends. Creating a run removes unfinished directories that are not locked.
#pragma once
#include <functional>
#include <string>

namespace poise {

class RunDirectory {
 public:
  // Creates runs/NNNNN-label, where NNNNN is one above the largest existing number, even if other runs start at the
  // same moment. `fill` writes the contents of the new directory to the path that it is given. Error(runtime) if the
  // directory cannot be created, or what `fill` throws; in both cases nothing is left behind.
  static RunDirectory create(const std::string& runs, const std::string& label,
                             const std::function<void(const std::string& path)>& fill);
  // Opens an existing one (also through `latest`). Error(checkpoint) if it is not one, Error(runtime) if it is in use.
  static RunDirectory open(const std::string& path);

  RunDirectory(RunDirectory&& other) noexcept;
  ~RunDirectory();

  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  // Is `latest` next to it a link, as set by each new run? Not if something else has that name, or if the file system
  // does not support links.
  bool has_latest() const;

 private:
  RunDirectory(const std::string& path, int lock) : path_(path), lock_(lock) {}
  std::string path_;
  int lock_ = -1;
};

// Resolves links such as `runs/latest`; the result is relative to the working directory if that is shorter.
std::string readable_path(const std::string& path);
// Quotes a word for a command line that a user copies into a shell.
std::string shell_word(const std::string& word);

}  // namespace poise
