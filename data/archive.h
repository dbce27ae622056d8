// A tar (also gzipped) or zip file of a data set, read as the folder that it would unpack to, without unpacking it.
//
// What anybody may have packed is refused before it costs anything, Error(data): paths that are absolute, lead upwards
// or are given twice, links and devices, encrypted files, more files or bytes than a data set has, and a file that
// expands to 200 times its size or more. Nothing of it is ever written to the disk.
//
// It is read once from end to end; files that were wanted are kept in memory, but for large ones (256 MiB), which are
// decompressed again when they are read, from front to back.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "data/files.h"

namespace poise {

// By content.
bool is_archive(const std::string& path);

// The paths of its first files and folders, at most so many: whose it is. None if this build reads no archives.
std::vector<std::string> first_paths_in_archive(const DataSetFacts& set, const std::string& path, size_t most);

class Archive {
 public:
  using Wanted = std::function<bool(const std::string& path)>;
  static constexpr int64_t kLarge = int64_t{256} << 20;
  // `wanted`: of which files the bytes will be asked for, by path in the archive ("cifar-10-batches-bin/test_batch.bin").
  // `large`: above so many bytes a file is not kept. Error(environment) if this build reads no archives.
  Archive(const DataSetFacts& set, const std::string& path, const Wanted& wanted, int64_t large = kLarge);

  const std::string& path() const { return path_; }
  bool has_file(const std::string& name) const { return files_.count(name) > 0; }
  bool has_folder(const std::string& name) const { return folders_.count(name) > 0; }
  std::vector<std::string> names(const std::string& folder) const;  // sorted; "": of the topmost
  DataFile file(const std::string& name) const;                     // Error(data) if it is not there

 private:
  DataSetFacts set_;
  std::string path_;
  std::map<std::string, std::shared_ptr<const ByteSource>> files_;  // null: it is not wanted
  std::set<std::string> folders_;
};

}  // namespace poise
