// Where the files of a data set are: in a folder, or in an archive, which then reads as the folder that it holds.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "data/archive.h"

namespace poise {

class DataFolder {
 public:
  // A folder or an archive of `set`; the inner folder of the set in it, if there is one. `wanted`: as for Archive, by the
  // names of files in the folder. Error(data) if there is neither, or if the archive is of no use.
  DataFolder(const DataSetFacts& set, const std::string& path, const Archive::Wanted& wanted);

  const std::string& path() const { return path_; }  // for messages
  std::string path_of(const std::string& name) const { return join_path(path_, name); }
  bool has_file(const std::string& name) const;
  bool has_folder(const std::string& name) const;
  std::vector<std::string> names(const std::string& folder) const;  // in a folder in it, sorted
  DataFile file(const std::string& name) const;                     // Error(data) if it is not there

 private:
  std::string inner(const std::string& name) const;

  DataSetFacts set_;
  std::string path_;
  std::shared_ptr<const Archive> archive_;  // or null
  std::string top_;                         // the folder in the archive: "cifar-10-batches-bin"
};

}  // namespace poise
