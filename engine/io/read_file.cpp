#include "engine/io/read_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <new>

#include "engine/io/message.h"

namespace poise {
namespace {

struct Descriptor {
  int fd = -1;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

// Container: std::vector<std::byte> or std::string. Returns 0 or the errno of opening the file.
template <class Container>
int read_into(const std::string& path, ErrorKind kind, Container& out) {
  // Not blocking: a named pipe in the place of a file must be an error, not a wait.
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.fd < 0) return errno;
  struct stat status {};
  if (::fstat(file.fd, &status) != 0) return errno;
  if (!S_ISREG(status.st_mode)) {
    fail(kind, fmt::format("{}: expected a file, found {}; correct the path", path,
                           S_ISDIR(status.st_mode) ? "a folder" : "something that is no regular file"));
  }
  const auto size = static_cast<size_t>(status.st_size);
  try {
    out.resize(size);
  } catch (const std::exception&) {  // bad_alloc, length_error
    fail(ErrorKind::runtime,
         fmt::format("{}: out of memory for a file of {} bytes; use a machine with more memory", path, size));
  }
  for (size_t done = 0; done < size;) {
    const ssize_t got = ::read(file.fd, out.data() + done, size - done);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      fail(kind, fmt::format("{}: expected {} bytes, reading failed after {}: {}; check the disk", path, size, done,
                             got == 0 ? "the file became shorter" : errno_text(errno)));
    }
    done += static_cast<size_t>(got);
  }
  return 0;
}

[[noreturn]] void fail_open(const std::string& path, ErrorKind kind, int error, const std::string& remedy) {
  fail(kind, fmt::format("{}: cannot read the file: {}; {}", path, errno_text(error), remedy));
}

}  // namespace

std::vector<std::byte> read_file(const std::string& path, ErrorKind kind, const std::string& missing_remedy) {
  std::vector<std::byte> bytes;
  const int error = read_into(path, kind, bytes);
  if (error == ENOENT) fail_open(path, kind, error, missing_remedy);
  if (error != 0) fail_open(path, kind, error, "correct the path or the permissions");
  return bytes;
}

std::optional<std::string> read_text_if_exists(const std::string& path, ErrorKind kind) {
  std::string text;
  const int error = read_into(path, kind, text);
  if (error == ENOENT) return std::nullopt;
  if (error != 0) fail_open(path, kind, error, "correct the path or the permissions");
  return text;
}

}  // namespace poise
