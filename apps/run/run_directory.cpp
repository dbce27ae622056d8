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
#include <vector>

#include "engine/io/message.h"
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
  (void)::fsync(descriptor);  // some file systems cannot; the rename has happened either way
  ::close(descriptor);
}

// Folders that were made for this run, removed again (where empty) unless `keep` is called.
class MadeFolders {
 public:
  ~MadeFolders() {
    for (auto path = made_.rbegin(); path != made_.rend(); ++path) ::rmdir(path->c_str());
  }
  void make_all(const std::string& path) {
    fs::path part;
    for (const fs::path& name : fs::path(path)) {
      part /= name;
      if (::mkdir(part.c_str(), 0777) == 0)
        made_.push_back(part.string());
      else if (const int error = errno; error != EEXIST && !fs::is_directory(part)) {
        fail_with(part.string(), "cannot make the folder", error);
      }
    }
    if (!fs::is_directory(path)) fail_with(path, "cannot hold runs", ENOTDIR);
  }
  void keep() { made_.clear(); }

 private:
  std::vector<std::string> made_;
};

// A folder under a temporary name, removed with its contents unless renamed.
struct TemporaryFolder {
  std::string path;
  bool renamed = false;
  explicit TemporaryFolder(const std::string& parent) : path(parent + "/.creating-XXXXXX") {
    if (!::mkdtemp(path.data())) {
      const int error = errno;
      renamed = true;
      fail_with(parent, "cannot make a folder in it", error);
    }
    ::chmod(path.c_str(), 0755);  // mkdtemp makes it private
  }
  ~TemporaryFolder() {
    std::error_code error;
    if (!renamed) fs::remove_all(path, error);
  }
};

// NNNNN of "NNNNN-label", or -1.
int64_t number_of(const std::string& name) {
  const size_t digits = name.find_first_not_of("0123456789");
  if (digits == std::string::npos || digits < 5 || digits > 12 || name[digits] != '-') return -1;
  return std::stoll(name.substr(0, digits));
}

int64_t largest_number(const std::string& runs) {
  int64_t largest = -1;
  for (const auto& entry : fs::directory_iterator(runs)) {
    largest = std::max(largest, number_of(entry.path().filename().string()));
  }
  return largest;
}

bool number_is_taken(const std::string& runs, int64_t number) {
  const fs::directory_iterator entries(runs);
  return std::any_of(begin(entries), end(entries),
                     [&](const auto& entry) { return number_of(entry.path().filename().string()) == number; });
}

std::string five_digits(int64_t number) {
  char text[32];
  std::snprintf(text, sizeof text, "%05lld", static_cast<long long>(number));
  return text;
}

// Renames to the next free number. mkdir is the lock: the process that creates the claim of a number may use it, after
// looking again (an earlier holder may have taken it and gone). A claim left by a killed process only skips its number.
std::string rename_to_next_number(TemporaryFolder& folder, const std::string& runs, const std::string& label) {
  for (int64_t number = largest_number(runs) + 1;; ++number) {
    const std::string claim = runs + "/.claim-" + five_digits(number);
    if (::mkdir(claim.c_str(), 0777) != 0) {
      if (errno == EEXIST) continue;
      fail_with(runs, "cannot make a folder in it", errno);
    }
    std::string path = runs + "/" + five_digits(number) + "-" + label;
    const bool taken = number_is_taken(runs, number);
    const int error = taken || ::rename(folder.path.c_str(), path.c_str()) == 0 ? 0 : errno;
    ::rmdir(claim.c_str());
    if (error) fail_with(path, "cannot rename the new run directory", error);
    if (taken) continue;
    folder.renamed = true;
    sync_folder(runs);
    return path;
  }
}

// A convenience: where links are not to be had, or `latest` is something else, it stays as it is.
void point_latest_at(const std::string& runs, const std::string& path) {
  const std::string link = runs + "/.latest-" + std::to_string(::getpid());
  std::error_code error;
  fs::create_directory_symlink(fs::path(path).filename(), link, error);
  if (error) return;
  if (fs::is_symlink(runs + "/latest", error) || !fs::exists(runs + "/latest", error)) {
    fs::rename(link, runs + "/latest", error);
  }
  fs::remove(link, error);
}

int lock_folder(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) {
    fail(ErrorKind::checkpoint,
         path + ": not a run directory: " + errno_text(errno) + "; give one that train_gan made");
  }
  // Only "another process holds it" counts: file systems without locks must not stop a run.
  if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    ::close(descriptor);
    fail(ErrorKind::runtime, path + ": another train_gan is writing to this run directory; wait for it or stop it");
  }
  return descriptor;
}

}  // namespace

RunDirectory RunDirectory::create(const std::string& runs, const std::string& label,
                                  const std::function<void(const std::string& path)>& fill) {
  MadeFolders parents;
  parents.make_all(runs);
  TemporaryFolder folder(runs);
  for (const char* name : {"/checkpoints", "/samples"}) {
    if (::mkdir((folder.path + name).c_str(), 0777) != 0) {
      fail_with(folder.path + name, "cannot make the folder", errno);
    }
  }
  fill(folder.path);
  RunDirectory result("", lock_folder(folder.path));  // the lock follows the folder through the rename
  result.path_ = rename_to_next_number(folder, runs, label);
  parents.keep();
  point_latest_at(runs, result.path_);
  return result;
}

RunDirectory RunDirectory::open(const std::string& path) {
  RunDirectory result(readable_path(path), lock_folder(path));
  for (const char* name : {"config.toml", "checkpoints"}) {
    if (!fs::exists(result.file(name))) {
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
