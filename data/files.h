// Files of data sets: where they are, and open files whose sizes are known before a byte of them is read. Error(data)
// is what a user's files lack or have wrong; what the system fails to do is Error(environment) (engine/io/system_file.h).
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/io/message.h"
#include "engine/io/system_file.h"

namespace poise {

// A file as the makers of a data set published it.
struct OfficialFile {
  std::string name;
  int64_t bytes;
  std::string md5;                  // "": none was published
  std::vector<std::string> splits;  // that need it
};

// What a data set is, stated once: its reader has it, the registry, checks of its files and messages ask it.
struct DataSetFacts {
  std::string name;                      // "cifar10"
  std::string where_to_get;              // "get cifar-10-binary.tar.gz from .. and unpack it there"
  std::vector<std::string> splits = {};  // in the order of the reader's enumeration; "auto" means the first
  std::string inner_folder = {};         // that the archive unpacks to; "": none
  std::vector<OfficialFile> files = {};  // none: it is made of pictures
  std::vector<std::string> marks = {};   // other files by which a folder with the set is known
};
[[noreturn]] void fail_data(const DataSetFacts& set, const std::string& message);

// Error(data) unless `folder` is one.
void check_folder(const DataSetFacts& set, const std::string& folder);

// One open file. Several threads may read at once.
class DataFile {
 public:
  DataFile(const DataSetFacts& set, const std::string& path);
  DataFile(DataFile&& other) noexcept;
  DataFile& operator=(DataFile&&) = delete;
  ~DataFile();

  const std::string& path() const { return path_; }
  int64_t size() const { return size_; }
  void read(int64_t offset, std::span<uint8_t> to) const;  // all of `to`
  std::vector<uint8_t> read_all() const;

 private:
  std::string path_;
  int descriptor_ = -1;
  int64_t size_ = 0;
};

// Lines of a small text file (at most 16 MiB), without their ends.
std::vector<std::string> read_lines(const DataSetFacts& set, const std::string& path);
// Text from a file as part of a message: quoted, without control characters, cut after 60 bytes.
std::string quoted_text(const std::string& text);

}  // namespace poise
