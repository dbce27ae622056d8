#include "data/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "kernels/core/error.h"

namespace poise {
namespace {

constexpr int64_t kMostTextBytes = int64_t{16} << 20;

std::string error_text(int error) { return std::generic_category().message(error); }

std::string fingerprint_text(const std::string& path, const struct stat& status) {
  return fmt::format("{}:{}:{}.{:09}", path.substr(path.rfind('/') + 1), static_cast<int64_t>(status.st_size),
                     static_cast<int64_t>(status.st_mtim.tv_sec), static_cast<int64_t>(status.st_mtim.tv_nsec));
}

}  // namespace

void fail_data(const DataSetFacts& set, const std::string& message) {
  fail(ErrorKind::data, set.name + ": " + message);
}

std::string path_in(const std::string& folder, const std::string& name) {
  return folder.empty() || folder.back() == '/' ? folder + name : folder + "/" + name;
}

bool path_exists(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0;
}

bool is_folder(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

void check_folder(const DataSetFacts& set, const std::string& folder) {
  struct stat status {};
  if (::stat(folder.c_str(), &status) != 0) {
    const int error = errno;
    fail_data(set, fmt::format("{}: expected a folder, found: {}; correct the path, or {}", folder, error_text(error),
                               set.where_to_get));
  }
  if (!S_ISDIR(status.st_mode)) {
    fail_data(set, fmt::format("{}: expected a folder, found a file; give the folder that holds the files of the set "
                               "(unpack an archive with tar xzf or unzip)",
                               folder));
  }
}

std::vector<std::string> names_in(const DataSetFacts& set, const std::string& folder) {
  DIR* open = ::opendir(folder.c_str());
  if (!open) {
    const int error = errno;
    fail_data(set, fmt::format("{}: expected a readable folder, found: {}; correct the path or the permissions", folder,
                               error_text(error)));
  }
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(open)) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  ::closedir(open);
  std::sort(names.begin(), names.end());
  return names;
}

DataFile::DataFile(const DataSetFacts& set, const std::string& path) : set_(set), path_(path) {
  // Not blocking: a named pipe in the place of a file must be an error, not a wait.
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) {
    const int error = errno;
    if (error == ENOENT) fail_data(set, fmt::format("{}: expected this file, found none; {}", path, set.where_to_get));
    fail_data(set, fmt::format("{}: expected a readable file, found: {}; correct the path or the permissions", path,
                               error_text(error)));
  }
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) {
    const char* found = S_ISDIR(status.st_mode) ? "a folder" : "something that is no regular file";
    ::close(descriptor_);  // the destructor of a half-built object does not run
    fail_data(set, fmt::format("{}: expected a file, found {}; {}", path, found, set.where_to_get));
  }
  size_ = static_cast<int64_t>(status.st_size);
  fingerprint_ = fingerprint_text(path, status);
}

DataFile::DataFile(DataFile&& other) noexcept
    : set_(std::move(other.set_)),
      path_(std::move(other.path_)),
      fingerprint_(std::move(other.fingerprint_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      size_(other.size_) {}

DataFile::~DataFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void DataFile::read(int64_t offset, std::span<uint8_t> to) const {
  for (size_t done = 0; done < to.size();) {
    const ssize_t got =
        ::pread(descriptor_, to.data() + done, to.size() - done, static_cast<off_t>(offset) + static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      fail_data(set_, fmt::format("{}: expected {} bytes, reading failed at {}: {}; check the disk", path_, size_,
                                  offset + static_cast<int64_t>(done),
                                  got == 0 ? "the file became shorter" : error_text(errno)));
    }
    done += static_cast<size_t>(got);
  }
}

std::vector<uint8_t> DataFile::read_all() const {
  std::vector<uint8_t> bytes(static_cast<size_t>(size_));
  read(0, bytes);
  return bytes;
}

std::string fingerprint_of(const DataSetFacts& set, const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    fail_data(set, fmt::format("{}: expected this file, found none; {}", path, set.where_to_get));
  }
  return fingerprint_text(path, status);
}

std::vector<std::string> read_lines(const DataSetFacts& set, const std::string& path) {
  const DataFile file(set, path);
  if (file.size() > kMostTextBytes) {
    fail_data(set, fmt::format("{}: expected a text of at most {} bytes, found {}; {}", path, kMostTextBytes,
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

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text.substr(0, 60)) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  return out + (text.size() > 60 ? "..\"" : "\"");
}

}  // namespace poise
