#include "apps/run/run_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "engine/io/atomic_file.h"
#include "engine/io/message.h"
#include "engine/io/system_file.h"
#include "kernels/core/error.h"

namespace fs = std::filesystem;

namespace poise {
namespace {

[[noreturn]] void fail_with(const std::string& path, const char* action, int error) {
  fail(ErrorKind::runtime, path + ": " + action + ": " + errno_text(error) + "; " + write_remedy(error));
}

void sync_folder(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  (void)::fsync(descriptor);  // not supported by some file systems; the rename has happened either way
  ::close(descriptor);
}

// Folders that were created for this run; removed again (if empty) unless keep() is called.
class MadeFolders {
 public:
  ~MadeFolders() {
    for (auto path = made_.rbegin(); path != made_.rend(); ++path) ::rmdir(path->c_str());
  }
  void make_all(const std::string& path) { make_folders(path, &made_); }
  void keep() { made_.clear(); }

 private:
  std::vector<std::string> made_;
};

constexpr std::string_view kUnfinished = ".creating-";

// A folder under a temporary name, locked by this process; removed with its contents unless renamed.
class UnfinishedFolder {
 public:
  explicit UnfinishedFolder(const std::string& parent) {
    while (lock_ < 0) {
      path_ = join_path(parent, std::string(kUnfinished) + unlikely_digits());
      if (::mkdir(path_.c_str(), 0777) != 0) fail_with(parent, "cannot make a folder in it", errno);
      lock_ = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
      const int error = errno;
      // Another process that cleans up may have removed the folder before it was opened or locked.
      if (lock_ < 0 && error == ENOENT) continue;
      if (lock_ < 0) {
        ::rmdir(path_.c_str());
        fail_with(parent, "cannot open a folder made in it", error);
      }
      struct stat status {};
      if (!lock_if_free(lock_) || (::fstat(lock_, &status) == 0 && status.st_nlink == 0))
        ::close(std::exchange(lock_, -1));
    }
  }
  ~UnfinishedFolder() {
    if (lock_ < 0) return;
    std::error_code error;
    fs::remove_all(path_, error);
    ::close(lock_);
  }
  UnfinishedFolder(const UnfinishedFolder&) = delete;
  UnfinishedFolder& operator=(const UnfinishedFolder&) = delete;

  const std::string& path() const { return path_; }
  // Call this after a rename: the folder is kept, and the caller owns its lock, which a rename preserves.
  int release_lock() { return std::exchange(lock_, -1); }

 private:
  std::string path_;
  int lock_ = -1;
};

// Removes the unfinished runs of killed processes. A process that is still creating a run holds its lock.
void remove_unfinished(const std::string& runs) {
  for (const std::string& name : names_in_folder(runs)) {
    const std::string path = join_path(runs, name);
    if (!name.starts_with(kUnfinished)) continue;
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (descriptor < 0) continue;
    std::error_code error;
    if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0) fs::remove_all(path, error);
    ::close(descriptor);
  }
}

// Returns NNNNN for "NNNNN-label", otherwise -1.
int64_t number_of(const std::string& name) {
  const size_t digits = name.find_first_not_of("0123456789");
  if (digits == std::string::npos || digits < 5 || digits > 12 || name[digits] != '-') return -1;
  return std::stoll(name.substr(0, digits));
}

int64_t next_number(const std::string& runs) {
  int64_t largest = -1;
  for (const std::string& name : names_in_folder(runs)) largest = std::max(largest, number_of(name));
  return largest + 1;
}

// Only one process at a time may number its run; the lock is released when a process ends.
class NumberLock {
 public:
  explicit NumberLock(const std::string& runs) : descriptor_(::open(runs.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    while (descriptor_ >= 0 && ::flock(descriptor_, LOCK_EX) != 0 && errno == EINTR) {
    }
  }
  ~NumberLock() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  NumberLock(const NumberLock&) = delete;
  NumberLock& operator=(const NumberLock&) = delete;

 private:
  int descriptor_;
};

std::string five_digits(int64_t number) {
  char text[32];
  std::snprintf(text, sizeof text, "%05lld", static_cast<long long>(number));
  return text;
}

// The link is a convenience: nothing changes if links are not supported or `latest` is something else (has_latest()).
void point_latest_at(const std::string& runs, const std::string& path) {
  const std::string link = join_path(runs, ".latest"), latest = join_path(runs, "latest");
  struct stat status {};
  if (::lstat(latest.c_str(), &status) == 0 && !S_ISLNK(status.st_mode)) return;
  ::unlink(link.c_str());  // left by a killed process
  if (::symlink(split_path(path).name.c_str(), link.c_str()) != 0) return;
  if (::rename(link.c_str(), latest.c_str()) != 0) ::unlink(link.c_str());
}

std::string rename_to_next_number(const std::string& unfinished, const std::string& runs, const std::string& label) {
  const NumberLock lock(runs);
  const std::string path = join_path(runs, five_digits(next_number(runs)) + "-" + label);
  while (::rename(unfinished.c_str(), path.c_str()) != 0) {
    if (errno != EINTR) fail_with(path, "cannot rename the new run directory", errno);
  }
  sync_folder(runs);
  point_latest_at(runs, path);
  return path;
}

int lock_folder(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) {
    const int error = errno;
    if (error != ENOENT && error != ENOTDIR) fail_to_read(path, "read the run directory", error);
    fail(ErrorKind::checkpoint,
         path + ": not a run directory: " + errno_text(error) + "; give one that train_gan made");
  }
  // Fails only if another process holds the lock: file systems without locks must not stop a run.
  if (!lock_if_free(descriptor)) {
    ::close(descriptor);
    fail(ErrorKind::runtime, path + ": another train_gan is writing to this run directory; wait for it or stop it");
  }
  return descriptor;
}

}  // namespace

bool RunDirectory::has_latest() const {
  struct stat status {};
  return ::lstat(join_path(split_path(path_).folder, "latest").c_str(), &status) == 0 && S_ISLNK(status.st_mode);
}

RunDirectory RunDirectory::create(const std::string& runs, const std::string& label,
                                  const std::function<void(const std::string& path)>& fill) {
  MadeFolders parents;
  parents.make_all(runs);
  remove_unfinished(runs);
  UnfinishedFolder folder(runs);
  make_folders(join_path(folder.path(), "checkpoints"));
  make_folders(join_path(folder.path(), "samples"));
  fill(folder.path());
  const std::string path = rename_to_next_number(folder.path(), runs, label);
  parents.keep();
  return RunDirectory(path, folder.release_lock());
}

RunDirectory RunDirectory::open(const std::string& path) {
  RunDirectory result(readable_path(path), lock_folder(path));
  for (const char* name : {"config.toml", "checkpoints"}) {
    if (!path_exists(result.file(name))) {
      fail(ErrorKind::checkpoint, path + ": not a run directory: it has no " + name + "; give one that train_gan made");
    }
  }
  return result;
}

RunDirectory::RunDirectory(RunDirectory&& other) noexcept : path_(std::move(other.path_)), lock_(other.lock_) {
  other.lock_ = -1;
}

RunDirectory::~RunDirectory() {
  if (lock_ >= 0) ::close(lock_);
}

std::string readable_path(const std::string& path) {
  std::error_code error;
  const fs::path real = fs::canonical(path, error);
  if (error) return path;
  const fs::path relative = fs::proximate(real, fs::current_path(error), error);
  return error || relative.string().starts_with("../..") || relative.string().size() > real.string().size()
             ? real.string()
             : relative.string();
}

std::string shell_word(const std::string& word) {
  const char* plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";
  if (!word.empty() && word.find_first_not_of(plain) == std::string::npos) return word;
  std::string text = "'";
  for (const char c : word) {
    if (c == '\'')
      text += "'\\''";
    else
      text += c;
  }
  return text + "'";
}

}  // namespace poise
