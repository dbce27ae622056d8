#include "data/image_folder.h"

#include <fmt/format.h>

#include <algorithm>

#include "data/walk_pictures.h"
#include "engine/io/utf8.h"
#include "kernels/core/error.h"

namespace poise {
namespace {

const DataSetFacts& facts() { return image_folder_facts(); }

class ImageFolder : public ImageSource {
 public:
  explicit ImageFolder(const std::string& folder) {
    name = "folder";
    source = folder;
    FolderOfPictures found = walk_pictures(facts(), folder);
    paths_ = std::move(found.paths);
    const size_t outside = paths_.size();
    for (const ClassPictures& each : found.classes) add_class(each);
    if (paths_.empty()) {
      fail_data(facts(),
                fmt::format("{}: expected PNG, JPEG or BMP files, or a subfolder of them for each class, "
                            "found none{}; correct the path",
                            folder, found.passed_over.empty() ? "" : " (" + found.passed_over.text(folder) + ")"));
    }
    count = static_cast<int64_t>(paths_.size());
    if (outside > 0 && !labels.empty()) {
      fail_data(facts(), fmt::format("{}: expected pictures in the folder or in subfolders, one per class, found {} in "
                                     "it and {} in subfolders; move them",
                                     folder, outside, labels.size()));
    }
    if (!empty_.empty() && !labels.empty()) {
      fail_data(facts(), fmt::format("{}: expected pictures in the folder of each class, found none in {}; remove what "
                                     "is no class, or put its pictures there",
                                     folder, fmt::join(empty_, ", ")));
    }
    if (!found.passed_over.empty()) warnings.push_back(fmt::format("{}: {}", folder, found.passed_over.text(folder)));
  }

  std::vector<uint8_t> bytes(int64_t i) const override {
    return DataFile(facts(), paths_[static_cast<size_t>(i)]).read_all();
  }
  Picture decode(int64_t i, std::span<const uint8_t> bytes) const override {
    return decode_named(facts(), paths_[static_cast<size_t>(i)], bytes);
  }
  std::string stamp() const override { return stamp_of(*this, paths_); }

 private:
  void add_class(const ClassPictures& each) {
    if (each.paths.empty()) return empty_.push_back(each.name);
    labels.insert(labels.end(), each.paths.size(), static_cast<int32_t>(class_names.size()));
    class_names.push_back(to_utf8(each.name));
    paths_.insert(paths_.end(), each.paths.begin(), each.paths.end());
  }

  std::vector<std::string> paths_, empty_;
};

}  // namespace

const DataSetFacts& image_folder_facts() {
  static const DataSetFacts set = {"folder", "give a folder of PNG, JPEG or BMP files", {"all"}};
  return set;
}

namespace {

// Limits the search: a wrong path, such as a home folder, may have a million files below it.
constexpr int kMostFiles = 10000, kMostFolders = 3;

bool holds_pictures_below(const std::string& folder, int depth, int& files) {
  std::vector<std::string> folders;
  for (const std::string& name : names_in_folder_if_exists(folder)) {
    const std::string path = join_path(folder, name);
    if (name.starts_with('.')) continue;
    if (is_folder(path)) {
      folders.push_back(path);
    } else if (is_regular_file(path)) {
      if (++files > kMostFiles) return false;
      try {
        if (is_picture_file(facts(), path, [&] { return DataFile(facts(), path); })) return true;
      } catch (const Error& error) {
        if (error.kind() == ErrorKind::data) return true;
        throw;
      }
    }
  }
  return depth < kMostFolders && std::any_of(folders.begin(), folders.end(), [&](const std::string& inside) {
           return holds_pictures_below(inside, depth + 1, files);
         });
}

}  // namespace

bool holds_pictures(const std::string& folder) {
  int files = 0;
  return is_folder(folder) && holds_pictures_below(folder, 0, files);
}

std::unique_ptr<ImageSource> open_image_folder(const std::string& folder) {
  check_folder(facts(), folder);
  return std::make_unique<ImageFolder>(folder);
}

}  // namespace poise
