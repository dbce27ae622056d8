#include "data/cifar10.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <cerrno>
#include <new>
#include <system_error>

#include "kernels/core/error.h"

namespace poise {
namespace {

constexpr int64_t kSide = 32, kChannels = 3, kPlane = kSide * kSide, kImageBytes = kChannels * kPlane;
constexpr int64_t kRecordBytes = 1 + kImageBytes;
constexpr int64_t kRecordsPerBatch = 10000, kBatchBytes = kRecordsPerBatch * kRecordBytes;
constexpr int64_t kMostRecords = 50000;
constexpr const char* kOfficialFolder = "cifar-10-batches-bin";
constexpr const char* kSampleFile = "cifar10_sample.bin";
constexpr const char* kWhereToGet =
    "get cifar-10-binary.tar.gz from https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz and unpack it there";

[[noreturn]] void fail_data(const std::string& message) { fail(ErrorKind::data, "cifar10: " + message); }

std::string error_text(int error) { return std::generic_category().message(error); }

std::string join(const std::string& folder, const std::string& name) {
  return folder.empty() || folder.back() == '/' ? folder + name : folder + "/" + name;
}

bool exists(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0;
}

bool is_folder(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

std::vector<std::string> official_files(CifarSplit split) {
  if (split == CifarSplit::test) return {"test_batch.bin"};
  return {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"};
}

bool holds_any_official_file(const std::string& folder) {
  for (CifarSplit split : {CifarSplit::train, CifarSplit::test}) {
    for (const std::string& name : official_files(split)) {
      if (exists(join(folder, name))) return true;
    }
  }
  return false;
}

// One open file whose size is known: opened and checked for all files of a split before any of them is read.
class DataFile {
 public:
  explicit DataFile(const std::string& path) : path_(path) {
    // Not blocking: a named pipe in the place of a file must be an error, not a wait.
    descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor_ < 0) {
      const int error = errno;
      if (error == ENOENT) fail_data(fmt::format("{}: expected this file, found none; {}", path, kWhereToGet));
      fail_data(fmt::format("{}: expected a readable file, found: {}; correct the path or the permissions", path,
                            error_text(error)));
    }
    struct stat status {};
    if (::fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) {
      const char* found = S_ISDIR(status.st_mode) ? "a folder" : "something that is no regular file";
      ::close(descriptor_);  // the destructor of a half-built object does not run
      fail_data(fmt::format("{}: expected a file, found {}; {}", path, found, kWhereToGet));
    }
    size_ = static_cast<int64_t>(status.st_size);
  }
  DataFile(DataFile&& other) noexcept : path_(other.path_), descriptor_(other.descriptor_), size_(other.size_) {
    other.descriptor_ = -1;
  }
  DataFile& operator=(DataFile&&) = delete;
  ~DataFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  const std::string& path() const { return path_; }
  int64_t size() const { return size_; }

  void read_all(std::vector<uint8_t>& to) const {
    to.resize(static_cast<size_t>(size_));
    for (int64_t done = 0; done < size_;) {
      const ssize_t got = ::read(descriptor_, to.data() + done, static_cast<size_t>(size_ - done));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) {
        fail_data(fmt::format("{}: expected {} bytes, reading failed after {}: {}; check the disk", path_, size_, done,
                              got == 0 ? "the file became shorter" : error_text(errno)));
      }
      done += got;
    }
  }

 private:
  std::string path_;
  int descriptor_ = -1;
  int64_t size_ = 0;
};

void check_batch_size(const DataFile& file) {
  if (file.size() == kBatchBytes) return;
  fail_data(fmt::format("{}: expected {} bytes ({} records of {}), found {}: {}; {}", file.path(), kBatchBytes,
                        kRecordsPerBatch, kRecordBytes, file.size(),
                        file.size() < kBatchBytes ? "truncated" : "oversized", kWhereToGet));
}

void check_record_bytes(int64_t bytes, const std::string& source) {
  if (bytes > 0 && bytes % kRecordBytes == 0 && bytes / kRecordBytes <= kMostRecords) return;
  fail_data(fmt::format("{}: expected 1 to {} whole records of {} bytes, found {} bytes; restore the file", source,
                        kMostRecords, kRecordBytes, bytes));
}

ImageSet empty_set(const std::string& name, const std::string& source, int64_t most_records) {
  ImageSet set{.name = name, .source = source, .height = kSide, .width = kSide, .channels = kChannels};
  set.class_names = {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};
  set.pixels.reserve(static_cast<size_t>(most_records * kImageBytes));
  set.labels.reserve(static_cast<size_t>(most_records));
  return set;
}

// records: [count][1 + 3*32*32], a whole number of them. Appends to the set: planes [3,32,32] become [32,32,3].
void append_records(std::span<const uint8_t> records, const std::string& source, ImageSet& set) {
  const int64_t count = static_cast<int64_t>(records.size()) / kRecordBytes;
  const auto classes = static_cast<int64_t>(set.class_names.size());
  set.pixels.resize(static_cast<size_t>((set.count + count) * kImageBytes));
  for (int64_t i = 0; i < count; ++i) {
    const uint8_t* record = records.data() + i * kRecordBytes;
    if (record[0] >= classes) {
      fail_data(fmt::format("{}: expected labels 0 to {}, found {} in record {} (byte {}); the file is damaged, {}",
                            source, classes - 1, record[0], i, i * kRecordBytes, kWhereToGet));
    }
    set.labels.push_back(record[0]);
    const uint8_t* planes = record + 1;
    uint8_t* image = set.pixels.data() + (set.count + i) * kImageBytes;
    for (int64_t p = 0; p < kPlane; ++p) {
      for (int64_t c = 0; c < kChannels; ++c) image[p * kChannels + c] = planes[c * kPlane + p];
    }
  }
  set.count += count;
}

void finish(ImageSet& set) {
  uLong crc = crc32_z(0, set.pixels.data(), set.pixels.size());
  crc = crc32_z(crc, reinterpret_cast<const Bytef*>(set.labels.data()), set.labels.size() * sizeof(set.labels[0]));
  set.crc = static_cast<uint32_t>(crc);
}

ImageSet read_official(const std::string& folder, CifarSplit split) {
  const std::vector<std::string> names = official_files(split);
  std::vector<DataFile> files;
  files.reserve(names.size());
  for (const std::string& name : names) {
    files.emplace_back(join(folder, name));
    check_batch_size(files.back());
  }
  ImageSet set = empty_set("cifar10", folder, static_cast<int64_t>(names.size()) * kRecordsPerBatch);
  std::vector<uint8_t> bytes;
  for (const DataFile& file : files) {
    file.read_all(bytes);
    append_records(bytes, file.path(), set);
  }
  finish(set);
  return set;
}

ImageSet read_sample(const std::string& folder, CifarSplit split) {
  const std::string path = join(folder, kSampleFile);
  if (split == CifarSplit::test) {
    fail_data(
        fmt::format("{}: expected test images, found the bundled sample, which holds training images only; use "
                    "the full set: {}",
                    path, kWhereToGet));
  }
  const DataFile file(path);
  check_record_bytes(file.size(), path);
  std::vector<uint8_t> bytes;
  file.read_all(bytes);
  ImageSet set = parse_cifar10(bytes, path);
  set.source = folder;
  return set;
}

// A folder with none of the expected files: say which likely mistake it is.
[[noreturn]] void fail_nothing_found(const std::string& folder) {
  std::string found = "none of them";
  if (exists(join(folder, "data_batch_1")) || is_folder(join(folder, "cifar-10-batches-py"))) {
    found = "the Python version";
  } else if (exists(join(folder, "cifar-10-binary.tar.gz"))) {
    found = "cifar-10-binary.tar.gz, not unpacked (tar xzf)";
  }
  fail_data(
      fmt::format("{}: expected data_batch_1.bin to data_batch_5.bin and test_batch.bin, or {}/, or {}, found {}; {}",
                  folder, kOfficialFolder, kSampleFile, found, kWhereToGet));
}

ImageSet read_folder(const std::string& folder, CifarSplit split) {
  struct stat status {};
  if (::stat(folder.c_str(), &status) != 0) {
    const int error = errno;
    fail_data(fmt::format("{}: expected a folder, found: {}; correct the path, or {}", folder, error_text(error),
                          kWhereToGet));
  }
  if (!S_ISDIR(status.st_mode)) {
    fail_data(
        fmt::format("{}: expected a folder, found a file; give the folder that holds the .bin files (unpack an "
                    "archive with tar xzf)",
                    folder));
  }
  if (holds_any_official_file(folder)) return read_official(folder, split);
  const std::string inside = join(folder, kOfficialFolder);
  if (is_folder(inside)) return read_official(inside, split);
  if (exists(join(folder, kSampleFile))) return read_sample(folder, split);
  fail_nothing_found(folder);
}

}  // namespace

ImageSet parse_cifar10(std::span<const uint8_t> records, const std::string& source) {
  const auto bytes = static_cast<int64_t>(records.size());
  check_record_bytes(bytes, source);
  ImageSet set = empty_set("cifar10_sample", source, bytes / kRecordBytes);
  append_records(records, source, set);
  finish(set);
  return set;
}

ImageSet read_cifar10(const std::string& folder, CifarSplit split) {
  try {
    return read_folder(folder, split);
  } catch (const std::bad_alloc&) {
    fail(ErrorKind::runtime, "cifar10: " + folder + ": out of memory; the training images need about 190 MB");
  }
}

}  // namespace poise
