#include "data/image_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace poise {
namespace {

constexpr int kMostDepth = 16;  // a link to a folder above ends here

const DataSetFacts& facts() { return image_folder_facts(); }

std::string extension_of(const std::string& name) {
  const size_t dot = name.rfind('.');
  std::string extension = dot == std::string::npos ? "" : name.substr(dot + 1);
  for (char& c : extension) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return extension;
}

template <size_t N>
bool is_one_of(const std::string& word, const std::array<const char*, N>& words) {
  return std::any_of(words.begin(), words.end(), [&](const char* each) { return word == each; });
}

bool is_picture(const std::string& folder, const std::string& name) {
  constexpr std::array readable = {"png", "jpg", "jpeg", "jpe", "bmp"};
  constexpr std::array unreadable = {"gif", "webp", "tif", "tiff", "heic", "heif", "avif", "jp2", "jxl", "tga", "ppm"};
  const std::string extension = extension_of(name);
  if (is_one_of(extension, unreadable)) {
    fail_data(facts(), fmt::format("{}: expected pictures as PNG, JPEG or BMP, found .{}; convert or remove it",
                                   path_in(folder, name), extension));
  }
  return is_one_of(extension, readable);
}

// Pictures in a folder and in those inside it.
void find_all(const std::string& folder, int depth, std::vector<std::string>& paths) {
  for (const std::string& name : names_in(facts(), folder)) {
    const std::string path = path_in(folder, name);
    if (is_folder(path)) {
      if (depth < kMostDepth) find_all(path, depth + 1, paths);
    } else if (is_picture(folder, name)) {
      paths.push_back(path);
    }
  }
}

class ImageFolder : public ImageSource {
 public:
  explicit ImageFolder(const std::string& folder) {
    name = "folder";
    source = folder;
    for (const std::string& entry : names_in(facts(), folder)) {
      const std::string path = path_in(folder, entry);
      if (is_folder(path)) {
        add_class(entry, path);
      } else if (is_picture(folder, entry)) {
        paths_.push_back(path);
      }
    }
    if (paths_.empty()) {
      fail_data(facts(), fmt::format("{}: expected PNG, JPEG or BMP files, or a subfolder of them for each class, "
                                     "found none; correct the path",
                                     folder));
    }
    count = static_cast<int64_t>(paths_.size());
    if (!labels.empty() && static_cast<int64_t>(labels.size()) != count) {
      fail_data(facts(), fmt::format("{}: expected pictures in the folder or in subfolders, one per class, found {} in "
                                     "it and {} in subfolders; move them",
                                     folder, paths_.size() - labels.size(), labels.size()));
    }
    for (const std::string& path : paths_) {
      fingerprint += path.substr(folder.size()) + " " + fingerprint_of(facts(), path) + "\n";
    }
  }

  Picture picture(int64_t i) const override { return read_picture(facts(), paths_[static_cast<size_t>(i)]); }

 private:
  void add_class(const std::string& class_name, const std::string& folder) {
    const size_t before = paths_.size();
    find_all(folder, 1, paths_);
    if (paths_.size() == before) return;
    labels.resize(labels.size() + paths_.size() - before, static_cast<int32_t>(class_names.size()));
    class_names.push_back(class_name);
  }

  std::vector<std::string> paths_;
};

}  // namespace

const DataSetFacts& image_folder_facts() {
  static const DataSetFacts set = {"folder", "give a folder of PNG, JPEG or BMP files"};
  return set;
}

std::unique_ptr<ImageSource> open_image_folder(const std::string& folder) {
  check_folder(facts(), folder);
  return std::make_unique<ImageFolder>(folder);
}

}  // namespace poise
