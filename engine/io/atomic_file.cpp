#include "engine/io/atomic_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>

#include "engine/io/message.h"
#include "engine/io/system_file.h"
#include "kernels/core/error.h"

namespace poise {
namespace {

constexpr std::string_view kTemporaryMark = ".tmp-";
constexpr size_t kRandomDigits = 16, kLongestName = 255;

bool is_temporary(const std::string& name) {
  const size_t mark = name.rfind(kTemporaryMark);
  return name.starts_with('.') && mark != std::string::npos && mark > 1 &&
         name.size() == mark + kTemporaryMark.size() + kRandomDigits &&
         name.find_first_not_of("0123456789abcdef", mark + kTemporaryMark.size()) == std::string::npos;
}

// N for /dev/fd/N and similar names, otherwise -1. Opening such a name again would overwrite what the file contains.
int descriptor_named(const std::string& path) {
  for (const std::string_view folder : {"/dev/fd/", "/proc/self/fd/", "/proc/thread-self/fd/"}) {
    if (!path.starts_with(folder)) continue;
    int number = -1;
    const char *first = path.data() + folder.size(), *last = path.data() + path.size();
    const auto [end, error] = std::from_chars(first, last, number);
    if (error == std::errc() && end == last && number >= 0) return number;
  }
  return -1;
}

// The end of a chain of links: a path that is not a link, or that names an open descriptor.
std::string end_of_links(std::string path) {
  constexpr int kMostLinks = 40;
  for (int links = 0; links < kMostLinks && descriptor_named(path) < 0; ++links) {
    char text[4096];
    const ssize_t size = ::readlink(path.c_str(), text, sizeof text - 1);
    if (size <= 0) break;  // not a link, or it does not exist
    const std::string to(text, static_cast<size_t>(size));
    path = to.starts_with('/') ? to : join_path(split_path(path).folder, to);
  }
  return path;
}

}  // namespace

bool lock_if_free(int descriptor) {
  while (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EINTR) return errno != EWOULDBLOCK;
  }
  return true;
}

std::string unlikely_digits() {
  uint64_t number = 0;
  if (::getrandom(&number, sizeof number, 0) != sizeof number) {
    const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
    number = static_cast<uint64_t>(now) * 0x9e3779b97f4a7c15u + static_cast<uint64_t>(::getpid());
  }
  return fmt::format("{:016x}", number);
}

bool is_standard_output(const std::string& path) {
  return path == "-" || descriptor_named(end_of_links(path)) == STDOUT_FILENO;
}

AtomicFile::AtomicFile(const std::string& path) : path_(path) {
  const std::string end = path == "-" ? "/dev/fd/1" : end_of_links(path);
  const PathParts parts = split_path(end);
  struct stat status {};
  const bool exists = ::stat(end.c_str(), &status) == 0;
  if (!exists && errno != ENOENT) fail_with("cannot write the file", errno);
  if (parts.name.empty() || (exists && S_ISDIR(status.st_mode))) {
    fail(ErrorKind::runtime, path + ": expected the name of a file, found a folder; give a file name");
  }
  if (descriptor_named(end) >= 0 || (exists && !S_ISREG(status.st_mode))) {
    open_special(end);
    return;
  }
  // A rename would ignore the permissions of the file.
  if (exists && ::faccessat(AT_FDCWD, end.c_str(), W_OK, AT_EACCESS) != 0 && (errno == EACCES || errno == EROFS)) {
    fail_with("cannot replace the file", errno);
  }
  target_ = end;
  folder_ = parts.folder;
  open_temporary();
  if (exists) (void)::fchmod(descriptor_, status.st_mode & 07777);  // a private file stays private
}

void AtomicFile::open_special(const std::string& path) {
  const int named = descriptor_named(path);
  descriptor_ = named >= 0 ? ::fcntl(named, F_DUPFD_CLOEXEC, 3) : ::open(path.c_str(), O_WRONLY | O_NOCTTY | O_CLOEXEC);
  if (descriptor_ < 0) fail_with("cannot open it for writing", errno);
}

// The name is random because another container may have a process with the same id.
void AtomicFile::open_temporary() {
  const std::string end = std::string(kTemporaryMark) + unlikely_digits();
  std::string name = split_path(target_).name;
  if (name.size() > kLongestName) fail_with("cannot create the file", ENAMETOOLONG);
  name.resize(std::min(name.size(), kLongestName - 1 - end.size()));
  temporary_ = join_path(folder_, "." + name + end);
  do {
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
  } while (descriptor_ < 0 && errno == EINTR);
  if (descriptor_ < 0) fail_with("cannot create the file", errno);
  pending_ = true;
  struct stat status {};
  // Another process may have taken the file for a stale one before it was locked.
  if (!lock_if_free(descriptor_) || (::fstat(descriptor_, &status) == 0 && status.st_nlink == 0)) {
    discard();
    open_temporary();
  }
}

AtomicFile::~AtomicFile() { discard(); }

void AtomicFile::write(const void* bytes, size_t size) {
  require(descriptor_ >= 0, "AtomicFile::write after commit() or after an error");
  if (size == 0) return;
  constexpr size_t kGathered = 1 << 16;
  const char* first = static_cast<const char*>(bytes);
  if (gathered_.size() + size <= kGathered) {
    gathered_.append(first, size);
    return;
  }
  flush(gathered_.data(), gathered_.size());
  gathered_.clear();
  flush(first, size);
}

void AtomicFile::flush(const char* next, size_t size) {
  constexpr size_t kMostPerCall = size_t{1} << 30;  // Linux writes no more than 2 GiB at once
  while (size > 0) {
    const ssize_t written = ::write(descriptor_, next, std::min(size, kMostPerCall));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail_with("cannot write the file", written < 0 ? errno : EIO);
    next += written;
    size -= static_cast<size_t>(written);
  }
}

void AtomicFile::commit() {
  require(descriptor_ >= 0, "AtomicFile::commit after commit() or after an error");
  flush(gathered_.data(), gathered_.size());
  while (::fsync(descriptor_) != 0) {
    if (errno == EINTR) continue;
    if (target_.empty() && (errno == EINVAL || errno == EROFS || errno == ENOTSUP)) break;  // a pipe, a terminal
    fail_with("cannot write the file", errno);
  }
  if (!target_.empty()) {
    while (::rename(temporary_.c_str(), target_.c_str()) != 0) {
      if (errno != EINTR) fail_with("cannot replace the file", errno);
    }
    pending_ = false;
  }
  const int to_close = descriptor_;  // holds the lock until here
  descriptor_ = -1;                  // closed even if close() reports an error
  if (::close(to_close) != 0 && errno != EINTR) fail_with("cannot write the file", errno);
  if (target_.empty()) return;

  // The rename itself must reach the disk. Some network file systems cannot sync a folder and return EINVAL.
  const int folder = ::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;  // a folder that is writable but not readable
  const int error = ::fsync(folder) == 0 ? 0 : errno;
  ::close(folder);
  if (error == EIO || error == ENOSPC || error == EDQUOT) fail_with("cannot make the file durable", error);
}

void AtomicFile::fail_with(const char* action, int error) {
  discard();
  const std::string name = path_ == "-" ? "standard output" : path_;
  fail(ErrorKind::runtime, fmt::format("{}: {}: {}; {}", name, action, errno_text(error), write_remedy(error)));
}

void AtomicFile::discard() noexcept {
  if (pending_) ::unlink(temporary_.c_str());
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
  pending_ = false;
}

void write_file_atomically(const std::string& path, const void* bytes, size_t size) {
  AtomicFile file(path);
  file.write(bytes, size);
  file.commit();
}

void write_file_atomically(const std::string& path, std::string_view text) {
  write_file_atomically(path, text.data(), text.size());
}

int remove_stale_temporaries(const std::string& folder) {
  int removed = 0;
  try {
    for (const std::string& name : names_in_folder_if_exists(folder)) {
      if (!is_temporary(name)) continue;
      const std::string path = join_path(folder, name);
      const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
      if (descriptor < 0) continue;
      const bool free = ::flock(descriptor, LOCK_EX | LOCK_NB) == 0;
      if (free && ::unlink(path.c_str()) == 0) ++removed;
      ::close(descriptor);
    }
  } catch (const Error&) {
    // Best effort.
  }
  return removed;
}

}  // namespace poise
