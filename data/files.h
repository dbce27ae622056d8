// Files of data sets: what lies where, and open files whose sizes are known before a byte of them is read.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace poise {

// What error messages say of a data set.
struct DataSetFacts {
  std::string name;          // "cifar10"
  std::string where_to_get;  // "get cifar-10-binary.tar.gz from .. and unpack it there"
};
[[noreturn]] void fail_data(const DataSetFacts& set, const std::string& message);

std::string path_in(const std::string& folder, const std::string& name);
bool path_exists(const std::string& path);
bool is_folder(const std::string& path);
// Error(data) unless `folder` is one.
void check_folder(const DataSetFacts& set, const std::string& folder);
// Names inside a folder, sorted, without those that begin with a dot. Error(data) if it cannot be read.
std::vector<std::string> names_in(const DataSetFacts& set, const std::string& folder);

// One open file. Whatever is wrong with it is an Error(data) that names it. Several threads may read at once.
class DataFile {
 public:
  DataFile(const DataSetFacts& set, const std::string& path);
  DataFile(DataFile&& other) noexcept;
  DataFile& operator=(DataFile&&) = delete;
  ~DataFile();

  const std::string& path() const { return path_; }
  int64_t size() const { return size_; }
  // "name:size:time of modification": changes when the file does.
  const std::string& fingerprint() const { return fingerprint_; }
  void read(int64_t offset, std::span<uint8_t> to) const;  // all of `to`
  std::vector<uint8_t> read_all() const;

 private:
  DataSetFacts set_;
  std::string path_, fingerprint_;
  int descriptor_ = -1;
  int64_t size_ = 0;
};

// DataFile::fingerprint() without opening the file. Error(data) if it is not there.
std::string fingerprint_of(const DataSetFacts& set, const std::string& path);

// Lines of a small text file (at most 16 MiB), without their ends.
std::vector<std::string> read_lines(const DataSetFacts& set, const std::string& path);
// Text from a file as part of a message: quoted, without control characters, cut after 60 bytes.
std::string quoted(const std::string& text);

}  // namespace poise
