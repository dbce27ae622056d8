#include "engine/io/system_file.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "engine/io/message.h"
#include "kernels/core/error.h"

namespace poise {
namespace {

struct OpenFolder {
  DIR* stream = nullptr;
  ~OpenFolder() {
    if (stream) ::closedir(stream);
  }
};

bool says_nothing_is_there(int error) { return error == ENOENT || error == ENOTDIR; }

// False if nothing exists at `path`.
bool look_at(const std::string& path, struct stat& status) {
  while (::stat(path.c_str(), &status) != 0) {
    if (errno == EINTR) continue;
    if (says_nothing_is_there(errno)) return false;
    fail_to_read(path, "look at it", errno);
  }
  return true;
}

// nullopt if the folder does not exist.
std::optional<std::vector<std::string>> list(const std::string& folder) {
  const OpenFolder open{::opendir(folder.c_str())};
  if (!open.stream) {
    if (errno == ENOENT) return std::nullopt;
    fail_to_read(folder, "read the folder", errno);
  }
  std::vector<std::string> names;
  while (true) {
    errno = 0;  // the only difference between the end and an error
    const dirent* entry = ::readdir(open.stream);
    if (!entry) {
      if (errno == 0) break;
      if (errno == EINTR) continue;
      fail_to_read(folder, "read the whole folder", errno);
    }
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

const char* read_remedy(int error) {
  switch (error) {
    case EACCES:
    case EPERM:
      return "you may not read it: change its permissions";
    case EIO:
      return "the device reports an error: check the disk";
    case EMFILE:
    case ENFILE:
      return "too many open files (ulimit -n): raise the limit";
    case ENOMEM:
      return "out of memory: use a machine with more";
    case ELOOP:
      return "links that lead in a circle: correct the path";
    case ENAMETOOLONG:
      return "use a shorter path";
    case ENOTDIR:
      return "a part of the path is a file, not a folder: correct the path";
    case ENOENT:
      return "correct the path";
    default:
      return "check the path and the disk";
  }
}

void fail_to_read(const std::string& path, const char* action, int error) {
  fail(ErrorKind::environment, path + ": cannot " + action + ": " + errno_text(error) + "; " + read_remedy(error));
}

void refuse_git_lfs_pointer(const std::string& path, std::string_view bytes) {
  constexpr size_t kLargestPointer = 1024;
  if (bytes.size() > kLargestPointer || !bytes.starts_with("version https://git-lfs.github.com/spec/")) return;
  fail(ErrorKind::environment,
       path + ": a pointer of Git LFS, not the file it stands for; fetch that with git lfs pull");
}

PathKind kind_of_path(const std::string& path) {
  struct stat status {};
  if (!look_at(path, status)) return PathKind::nothing;
  return S_ISREG(status.st_mode) ? PathKind::file : S_ISDIR(status.st_mode) ? PathKind::folder : PathKind::other;
}

bool path_exists(const std::string& path) { return kind_of_path(path) != PathKind::nothing; }
bool is_regular_file(const std::string& path) { return kind_of_path(path) == PathKind::file; }
bool is_folder(const std::string& path) { return kind_of_path(path) == PathKind::folder; }

bool same_file(const std::string& a, const std::string& b) {
  struct stat one {
  }, other{};
  const bool there = look_at(a, one);
  if (there != look_at(b, other)) return false;
  if (there) return S_ISREG(one.st_mode) && one.st_dev == other.st_dev && one.st_ino == other.st_ino;
  const PathParts first = split_path(a), second = split_path(b);
  return !a.empty() && first.name == second.name && look_at(first.folder, one) && look_at(second.folder, other) &&
         one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

std::vector<std::string> names_in_folder(const std::string& folder) {
  if (auto names = list(folder)) return std::move(*names);
  fail_to_read(folder, "read the folder", ENOENT);
}

std::vector<std::string> names_in_folder_if_exists(const std::string& folder) {
  return list(folder).value_or(std::vector<std::string>{});
}

void make_folders(const std::string& path, std::vector<std::string>* made) {
  struct stat whole {};
  if (::stat(path.c_str(), &whole) == 0 && S_ISDIR(whole.st_mode)) return;
  for (size_t end = 1; end != std::string::npos && !path.empty();) {
    end = path.find('/', end);
    const std::string part = path.substr(0, end);
    if (end != std::string::npos) ++end;
    if (::mkdir(part.c_str(), 0777) == 0) {
      if (made) made->push_back(part);
      continue;
    }
    int error = errno;
    // Without permission to write mkdir() fails even if the folder exists.
    struct stat status {};
    const bool there = ::stat(part.c_str(), &status) == 0;
    if (there && S_ISDIR(status.st_mode)) continue;
    if (error == EEXIST) error = there ? ENOTDIR : errno;
    fail(ErrorKind::runtime, path + ": cannot make the folder: " + errno_text(error) + "; " + write_remedy(error));
  }
}

}  // namespace poise
