#include "engine/io/atomic_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <filesystem>

#include "engine/io/message.h"
#include "kernels/core/error.h"

namespace poise {
namespace {

constexpr std::string_view kTemporaryMark = ".tmp-";

// The process number in ".<name>.tmp-<pid>"; 0 for any other name.
pid_t process_of_temporary(const std::string& name) {
  const size_t mark = name.rfind(kTemporaryMark);
  if (name.empty() || name[0] != '.' || mark == std::string::npos || mark < 2) return 0;
  const char* first = name.data() + mark + kTemporaryMark.size();
  const char* last = name.data() + name.size();
  int process = 0;
  const auto [end, error] = std::from_chars(first, last, process);
  return error == std::errc() && end == last && process > 0 ? process : 0;
}

}  // namespace

AtomicFile::AtomicFile(const std::string& path) : path_(path) {
  const PathParts parts = split_path(path);
  folder_ = parts.folder;
  temporary_ = join_path(folder_, fmt::format(".{}{}{}", parts.name, kTemporaryMark, ::getpid()));

  struct stat target {};
  const bool replaces = ::stat(path.c_str(), &target) == 0;
  if (parts.name.empty() || (replaces && !S_ISREG(target.st_mode))) {
    // The rename would put a file in the place of /dev/null or of a pipe.
    fail(ErrorKind::runtime,
         fmt::format("{}: expected the name of a file, found {}; give a file name", path,
                     parts.name.empty() || S_ISDIR(target.st_mode) ? "a folder" : "something that is no regular file"));
  }
  // Truncating, not exclusive: in a container every run may have the same process number, and a killed one may have
  // left its temporary.
  descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (descriptor_ < 0) fail_with("cannot create the file", errno);
  pending_ = true;
  if (replaces) (void)::fchmod(descriptor_, target.st_mode & 07777);  // a private file stays private
}

AtomicFile::~AtomicFile() { discard(); }

void AtomicFile::write(const void* bytes, size_t size) {
  require(descriptor_ >= 0, "AtomicFile::write after commit() or after an error");
  constexpr size_t kMostPerCall = size_t{1} << 30;  // Linux writes no more than 2 GiB at once
  const char* next = static_cast<const char*>(bytes);
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
  while (::fsync(descriptor_) != 0) {
    if (errno != EINTR) fail_with("cannot write the file", errno);
  }
  const int to_close = descriptor_;
  descriptor_ = -1;  // closed even if close() reports an error
  if (::close(to_close) != 0 && errno != EINTR) fail_with("cannot write the file", errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail_with("cannot replace the file", errno);
  pending_ = false;

  // The rename itself must reach the disk. Some network file systems cannot sync a folder; they say EINVAL.
  const int folder = ::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;  // a folder one may write but not read
  const int error = ::fsync(folder) == 0 ? 0 : errno;
  ::close(folder);
  if (error == EIO || error == ENOSPC || error == EDQUOT) fail_with("cannot make the file durable", error);
}

void AtomicFile::fail_with(const char* action, int error) {
  discard();
  fail(ErrorKind::runtime, fmt::format("{}: {}: {}; {}", path_, action, errno_text(error), write_remedy(error)));
}

void AtomicFile::discard() noexcept {
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
  if (pending_) ::unlink(temporary_.c_str());
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
  std::error_code error;
  std::filesystem::directory_iterator entry(folder, error), end;
  while (!error && entry != end) {
    const std::string name = entry->path().filename().string();
    const pid_t process = process_of_temporary(name);
    const bool alive = process > 0 && process != ::getpid() && (::kill(process, 0) == 0 || errno == EPERM);
    std::error_code ignored;
    if (process > 0 && !alive && entry->symlink_status(ignored).type() == std::filesystem::file_type::regular &&
        ::unlink(join_path(folder, name).c_str()) == 0) {
      ++removed;
    }
    entry.increment(error);
  }
  return removed;
}

}  // namespace poise
