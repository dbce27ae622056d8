#include "data/data_folder.h"

namespace poise {

DataFolder::DataFolder(const DataSetFacts& set, const std::string& path, const Archive::Wanted& wanted)
    : set_(set), path_(path) {
  if (kind_of_path(path) == PathKind::file && is_archive(path)) {
    const std::string prefix = set.inner_folder + "/";
    archive_ = std::make_shared<const Archive>(set, path, [&](const std::string& name) {
      return wanted(name.starts_with(prefix) ? name.substr(prefix.size()) : name);
    });
  } else {
    check_folder(set, path);
  }
  if (set.inner_folder.empty() || !has_folder(set.inner_folder)) return;
  path_ = path_of(set.inner_folder);
  if (archive_) top_ = set.inner_folder;
}

std::string DataFolder::inner(const std::string& name) const {
  return top_.empty() || name.empty() ? top_ + name : join_path(top_, name);
}

bool DataFolder::has_file(const std::string& name) const {
  return archive_ ? archive_->has_file(inner(name)) : path_exists(path_of(name));
}

bool DataFolder::has_folder(const std::string& name) const {
  return archive_ ? archive_->has_folder(inner(name)) : is_folder(path_of(name));
}

std::vector<std::string> DataFolder::names(const std::string& folder) const {
  if (archive_) return archive_->names(inner(folder));
  check_folder(set_, path_of(folder));
  return names_in_folder(path_of(folder));
}

DataFile DataFolder::file(const std::string& name) const {
  return archive_ ? archive_->file(inner(name)) : DataFile(set_, path_of(name));
}

}  // namespace poise
