// Files of data sets: what was published, and open files whose sizes are known before any byte is read. Problems with a
// user's files are Error(data); failures of the system are Error(environment) (engine/io/system_file.h).
#pragma once
#include <cstdint>
#include <memory>
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
  std::vector<std::string> splits;  // the splits that need it
};

// The facts about a data set, defined by its reader and used by the registry, file checks and messages.
struct DataSetFacts {
  std::string name;                      // "cifar10"
  std::string where_to_get;              // "get cifar-10-binary.tar.gz from ... and unpack it there"
  std::vector<std::string> splits = {};  // in the order of the reader's enumeration; "auto" means the first
  std::string inner_folder = {};         // folder that the archive unpacks to, or ""
  std::vector<OfficialFile> files = {};  // empty for sets made of pictures
  std::vector<std::string> marks = {};   // other files that identify a folder with the set
};
[[noreturn]] void fail_data(const DataSetFacts& set, const std::string& message);

// Error(data) unless `folder` is a folder.
void check_folder(const DataSetFacts& set, const std::string& folder);

// The bytes of a file that is not in the file system. Several threads may read at once.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  virtual int64_t size() const = 0;
  virtual void read(int64_t offset, std::span<uint8_t> to) const = 0;  // fills `to`, within the size
};

// One open file. Several threads may read at once.
class DataFile {
 public:
  DataFile(const DataSetFacts& set, const std::string& path);
  // `path` is for messages.
  DataFile(const std::string& path, std::shared_ptr<const ByteSource> bytes);
  DataFile(DataFile&& other) noexcept;
  DataFile& operator=(DataFile&&) = delete;
  ~DataFile();

  const std::string& path() const { return path_; }
  int64_t size() const { return size_; }
  void read(int64_t offset, std::span<uint8_t> to) const;  // fills `to`
  std::vector<uint8_t> read_all() const;

 private:
  std::string path_;
  std::shared_ptr<const ByteSource> bytes_;  // null if there is a descriptor
  int descriptor_ = -1;
  int64_t size_ = 0;
};

// The lines of a small text file (at most 16 MiB), without line endings.
std::vector<std::string> read_lines(const DataSetFacts& set, const DataFile& file);
// Text from a file as part of a message: quoted, without control characters, cut after 60 bytes.
std::string quoted_text(const std::string& text);

}  // namespace poise
