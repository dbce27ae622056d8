#include "engine/io/read_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <new>

#include "engine/io/message.h"
#include "engine/io/system_file.h"

namespace poise {
namespace {

struct Descriptor {
  int fd = -1;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

[[noreturn]] void fail_missing(const std::string& path, ErrorKind kind, const std::string& remedy) {
  fail(kind, fmt::format("{}: cannot read the file: {}; {}", path, errno_text(ENOENT), remedy));
}

// Container: std::vector<std::byte> or std::string. False if the file does not exist.
template <class Container>
bool read_into(const std::string& path, ErrorKind kind, Container& out) {
  // O_NONBLOCK, because a named pipe in place of a file must be an error instead of a wait.
  Descriptor file;
  do {
    file.fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  } while (file.fd < 0 && errno == EINTR);
  if (file.fd < 0 && errno == ENOENT) return false;
  if (file.fd < 0) fail_to_read(path, "read the file", errno);
  struct stat status {};
  if (::fstat(file.fd, &status) != 0) fail_to_read(path, "read the file", errno);
  if (!S_ISREG(status.st_mode)) {
    fail(kind, fmt::format("{}: expected a file, found {}; correct the path", path,
                           S_ISDIR(status.st_mode) ? "a folder" : "something that is not a regular file"));
  }
  const auto size = static_cast<size_t>(status.st_size);
  try {
    out.resize(size);
  } catch (const std::exception&) {  // bad_alloc, length_error
    fail(ErrorKind::environment,
         fmt::format("{}: out of memory for a file of {} bytes; use a machine with more memory", path, size));
  }
  for (size_t done = 0; done < size;) {
    const ssize_t got = ::read(file.fd, out.data() + done, size - done);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      const int error = got < 0 ? errno : EIO;
      fail(ErrorKind::environment,
           fmt::format("{}: expected {} bytes, reading failed after {}: {}; {}", path, size, done,
                       got == 0 ? "the file became shorter" : errno_text(error), read_remedy(error)));
    }
    done += static_cast<size_t>(got);
  }
  return true;
}

}  // namespace

std::vector<std::byte> read_file(const std::string& path, ErrorKind kind, const std::string& missing_remedy) {
  std::vector<std::byte> bytes;
  if (!read_into(path, kind, bytes)) fail_missing(path, kind, missing_remedy);
  refuse_git_lfs_pointer(path, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  return bytes;
}

std::optional<std::string> read_text_if_exists(const std::string& path, ErrorKind kind) {
  std::string text;
  if (!read_into(path, kind, text)) return std::nullopt;
  return text;
}

std::optional<std::string> read_short_text(const std::string& path, size_t most) {
  Descriptor file;
  do {
    file.fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  } while (file.fd < 0 && errno == EINTR);
  if (file.fd < 0) fail_to_read(path, "read the file", errno);
  std::string text(most + 1, '\0');
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t got = ::read(file.fd, text.data() + done, text.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_to_read(path, "read the file", errno);
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  text.resize(done);
  return done <= most ? std::optional(text) : std::nullopt;
}

}  // namespace poise
