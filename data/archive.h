// A tar (also gzipped) or zip file of a data set, read as the folder that it would unpack to, without unpacking it.
//
// Untrusted content is rejected early with Error(data): paths that are absolute, lead upwards or occur twice, links and
// devices, encrypted files, more files or bytes than a data set has, and archives that expand to more than 200 times
// their size. Nothing is ever written to disk.
//
// The archive is read once from end to end. Wanted files are kept in memory, except for large ones (256 MiB), which are
// decompressed again from the beginning when they are read.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "data/files.h"

namespace poise {

// Recognises an archive by its content.
bool is_archive(const std::string& path);

// The paths of the first files and folders, at most `most`, to identify the data set. None without archive support.
std::vector<std::string> first_paths_in_archive(const DataSetFacts& set, const std::string& path, size_t most);

class Archive {
 public:
  using Wanted = std::function<bool(const std::string& path)>;
  static constexpr int64_t kLarge = int64_t{256} << 20;
  // `wanted`: the files that will be read, by path in the archive ("cifar-10-batches-bin/test_batch.bin"). `large`:
  // files with more bytes are not kept in memory. Error(environment) if this build does not support archives.
  Archive(const DataSetFacts& set, const std::string& path, const Wanted& wanted, int64_t large = kLarge);

  const std::string& path() const { return path_; }
  bool has_file(const std::string& name) const { return files_.count(name) > 0; }
  bool has_folder(const std::string& name) const { return folders_.count(name) > 0; }
  std::vector<std::string> names(const std::string& folder) const;  // sorted; "": the top level
  DataFile file(const std::string& name) const;                     // Error(data) if it is missing

 private:
  DataSetFacts set_;
  std::string path_;
  std::map<std::string, std::shared_ptr<const ByteSource>> files_;  // null: not wanted
  std::set<std::string> folders_;
};

}  // namespace poise
