// The files of a data set, in a folder or in an archive, which is read like the folder that it contains.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "data/archive.h"

namespace poise {

class DataFolder {
 public:
  // Opens a folder or an archive of `set`, or the set's inner folder if there is one in it. `wanted`: as for Archive,
  // but by file names in that folder. Error(data) if there is neither, or if the archive is unusable.
  DataFolder(const DataSetFacts& set, const std::string& path, const Archive::Wanted& wanted);

  const std::string& path() const { return path_; }  // for messages
  std::string path_of(const std::string& name) const { return join_path(path_, name); }
  bool has_file(const std::string& name) const;
  bool has_folder(const std::string& name) const;
  std::vector<std::string> names(const std::string& folder) const;  // in `folder` inside it, sorted
  DataFile file(const std::string& name) const;                     // Error(data) if it is missing

 private:
  std::string inner(const std::string& name) const;

  DataSetFacts set_;
  std::string path_;
  std::shared_ptr<const Archive> archive_;  // or null
  std::string top_;                         // the folder in the archive: "cifar-10-batches-bin"
};

}  // namespace poise
