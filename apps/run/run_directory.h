// The directory of one run:
//
//   runs/00007-tiny-seed1/  config.toml  env.json  log.txt  train.jsonl  report.md  report.html  checkpoints/
//                           samples/
//   runs/latest             a link to the newest
//
// A directory appears complete (first checkpoint included) or not at all: it is filled under a temporary name and then
// renamed. While a program writes to it, under whichever name, it holds the directory's lock, which vanishes with the
// process: what is unfinished and without an owner goes when the next run is made.
#pragma once
#include <functional>
#include <string>

namespace poise {

class RunDirectory {
 public:
  // Makes runs/NNNNN-label, NNNNN one above the largest there is, even if other runs start at the same moment. `fill`
  // writes what a new directory holds into the path it gets. Error(runtime) if the directory cannot be made, or what
  // `fill` throws; then nothing is left behind.
  static RunDirectory create(const std::string& runs, const std::string& label,
                             const std::function<void(const std::string& path)>& fill);
  // An existing one (also through `latest`). Error(checkpoint) if it is none, Error(runtime) if it is in use.
  static RunDirectory open(const std::string& path);

  RunDirectory(RunDirectory&& other) noexcept;
  ~RunDirectory();

  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  // Is `latest` beside it a link, as each new run sets it? Not where a user has something else of that name, or where
  // the file system has no links.
  bool has_latest() const;

 private:
  RunDirectory(const std::string& path, int lock) : path_(path), lock_(lock) {}
  std::string path_;
  int lock_ = -1;
};

// `runs/latest` resolved, and written relative to the working directory where that is shorter.
std::string readable_path(const std::string& path);
// For a command line that a user copies into a shell.
std::string shell_word(const std::string& word);

}  // namespace poise
