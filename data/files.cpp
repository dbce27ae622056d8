#include "data/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "kernels/core/error.h"

namespace poise {
namespace {

constexpr int64_t kMostTextBytes = int64_t{16} << 20;

}  // namespace

void fail_data(const DataSetFacts& set, const std::string& message) {
  fail(ErrorKind::data, set.name + ": " + message);
}

void check_folder(const DataSetFacts& set, const std::string& folder) {
  const PathKind kind = kind_of_path(folder);
  if (kind == PathKind::nothing) {
    fail_data(set, fmt::format("{}: expected a folder, found none; correct the path, or {}", folder, set.where_to_get));
  }
  if (kind != PathKind::folder) {
    fail_data(set,
              fmt::format("{}: expected a folder or an archive, found another file; give the folder that holds the "
                          "files of the set, or the archive as it was published",
                          folder));
  }
}

DataFile::DataFile(const DataSetFacts& set, const std::string& path) : path_(path) {
  // Non-blocking, so that a named pipe in place of a file is an error instead of a wait.
  do {
    descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  } while (descriptor_ < 0 && errno == EINTR);
  if (descriptor_ < 0) {
    if (errno == ENOENT) fail_data(set, fmt::format("{}: expected this file, found none; {}", path, set.where_to_get));
    fail_to_read(path, "read the file", errno);
  }
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0) {
    const int error = errno;
    ::close(descriptor_);
    fail_to_read(path, "read the file", error);
  }
  if (!S_ISREG(status.st_mode)) {
    const char* found = S_ISDIR(status.st_mode) ? "a folder" : "something that is not a regular file";
    ::close(descriptor_);  // the destructor of a partly constructed object does not run
    fail_data(set, fmt::format("{}: expected a file, found {}; {}", path, found, set.where_to_get));
  }
  size_ = static_cast<int64_t>(status.st_size);
  constexpr int64_t kShort = 1024;
  if (size_ > kShort) return;
  try {
    const std::vector<uint8_t> bytes = read_all();
    refuse_git_lfs_pointer(path, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

DataFile::DataFile(const std::string& path, std::shared_ptr<const ByteSource> bytes)
    : path_(path), bytes_(std::move(bytes)), size_(bytes_->size()) {}

DataFile::DataFile(DataFile&& other) noexcept
    : path_(std::move(other.path_)),
      bytes_(std::move(other.bytes_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      size_(other.size_) {}

DataFile::~DataFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void DataFile::read(int64_t offset, std::span<uint8_t> to) const {
  if (bytes_) return bytes_->read(offset, to);
  for (size_t done = 0; done < to.size();) {
    const ssize_t got =
        ::pread(descriptor_, to.data() + done, to.size() - done, static_cast<off_t>(offset) + static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_to_read(path_, "read the file", errno);
    if (got == 0) {
      fail(
          ErrorKind::environment,
          fmt::format("{}: expected {} bytes, but the file became shorter while it was read; try again", path_, size_));
    }
    done += static_cast<size_t>(got);
  }
}

std::vector<uint8_t> DataFile::read_all() const {
  std::vector<uint8_t> bytes(static_cast<size_t>(size_));
  read(0, bytes);
  return bytes;
}

std::vector<std::string> read_lines(const DataSetFacts& set, const DataFile& file) {
  if (file.size() > kMostTextBytes) {
    fail_data(set, fmt::format("{}: expected a text of at most {} bytes, found {}; {}", file.path(), kMostTextBytes,
                               file.size(), set.where_to_get));
  }
  const std::vector<uint8_t> bytes = file.read_all();
  std::vector<std::string> lines;
  std::string line;
  for (const uint8_t byte : bytes) {
    if (byte == '\n')
      lines.push_back(std::exchange(line, {}));
    else if (byte != '\r')
      line += static_cast<char>(byte);
  }
  if (!line.empty()) lines.push_back(line);
  return lines;
}

std::string quoted_text(const std::string& text) {
  std::string out = "\"";
  for (const char c : text.substr(0, 60)) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  return out + (text.size() > 60 ? "..\"" : "\"");
}

}  // namespace poise
