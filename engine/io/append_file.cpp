#include "engine/io/append_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "engine/io/message.h"
#include "kernels/core/error.h"

namespace poise {
namespace {

[[noreturn]] void fail_with(const std::string& path, const std::string& action, int error) {
  fail(ErrorKind::runtime, fmt::format("{}: cannot {}: {}; {}", path, action, errno_text(error), write_remedy(error)));
}

}  // namespace

AppendFile::AppendFile(const std::string& path, std::string piece) : path_(path), piece_(std::move(piece)) {
  do {
    descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  } while (descriptor_ < 0 && errno == EINTR);
  if (descriptor_ < 0) fail_with(path, "open the file", errno);
}

AppendFile::~AppendFile() { ::close(descriptor_); }

void AppendFile::append(std::string_view bytes) {
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t written = ::write(descriptor_, bytes.data() + done, bytes.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      const int error = written < 0 ? errno : EIO;
      struct stat status {};
      if (done > 0 && ::fstat(descriptor_, &status) == 0) {
        (void)!::ftruncate(descriptor_, status.st_size - static_cast<off_t>(done));
      }
      fail_with(path_, "append " + piece_, error);
    }
    done += static_cast<size_t>(written);
  }
}

void AppendFile::sync() {
  while (::fsync(descriptor_) != 0) {
    const int error = errno;
    if (error == EINTR) continue;
    if (error == EINVAL) return;  // a pipe or a device: nothing to make durable
    fail_with(path_, "write the file", error);
  }
}

char AppendFile::last_byte() const {
  struct stat status {};
  char last = 0;
  if (::fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size == 0) return 0;
  return ::pread(descriptor_, &last, 1, status.st_size - 1) == 1 ? last : '\0';
}

}  // namespace poise
