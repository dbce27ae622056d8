#include "data/tiny_imagenet.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "data/data_folder.h"
#include "data/walk_pictures.h"

namespace poise {
namespace {

constexpr size_t kMostClasses = 1000;
constexpr int64_t kPublishedPerClass = 500;

const DataSetFacts& facts() { return tiny_imagenet_facts(); }

// Ids become parts of paths, so they may consist only of the letter and digits.
bool is_wnid(const std::string& text) {
  return text.size() == 9 && text[0] == 'n' && text.find_first_not_of("0123456789", 1) == std::string::npos;
}

std::vector<std::string> read_wnids(const DataFile& file) {
  const std::string& path = file.path();
  std::vector<std::string> wnids;
  for (const std::string& line : read_lines(facts(), file)) {
    if (line.empty()) continue;
    if (!is_wnid(line)) {
      fail_data(facts(), fmt::format("{}: expected ids as n01443537, found {} in line {}; {}", path, quoted_text(line),
                                     wnids.size() + 1, facts().where_to_get));
    }
    wnids.push_back(line);
  }
  std::sort(wnids.begin(), wnids.end());
  if (const auto twice = std::adjacent_find(wnids.begin(), wnids.end()); twice != wnids.end()) {
    fail_data(facts(),
              fmt::format("{}: expected each id once, found {} twice; {}", path, *twice, facts().where_to_get));
  }
  if (wnids.empty() || wnids.size() > kMostClasses) {
    fail_data(facts(), fmt::format("{}: expected 1 to {} ids, found {}; {}", path, kMostClasses, wnids.size(),
                                   facts().where_to_get));
  }
  return wnids;
}

// Words are for display only: a class without words is named by its id.
std::vector<std::string> read_words(const DataFolder& folder, const std::vector<std::string>& wnids) {
  std::map<std::string, std::string> words;
  if (folder.has_file("words.txt")) {
    for (const std::string& line : read_lines(facts(), folder.file("words.txt"))) {
      if (line.size() > 10 && line[9] == '\t') words[line.substr(0, 9)] = line.substr(10);
    }
  }
  std::vector<std::string> names;
  for (const std::string& wnid : wnids) {
    const auto found = words.find(wnid);
    names.push_back(found == words.end() ? wnid : found->second);
  }
  return names;
}

class TinyImagenet : public ImageSource {
 public:
  TinyImagenet(const DataFolder& folder, TinyImagenetSplit split) : folder_(folder) {
    name = "tiny-imagenet";
    source = folder.path();
    wnids_ = read_wnids(folder.file("wnids.txt"));
    class_names = read_words(folder, wnids_);
    split == TinyImagenetSplit::train ? find_train() : find_val();
    count = static_cast<int64_t>(files_.size());
  }

  std::vector<uint8_t> bytes(int64_t i) const override {
    return folder_.file(files_[static_cast<size_t>(i)]).read_all();
  }
  Picture decode(int64_t i, std::span<const uint8_t> bytes) const override {
    return decode_named(facts(), folder_.path_of(files_[static_cast<size_t>(i)]), bytes);
  }
  // "" inside an archive, whose files have no paths in the file system.
  std::string stamp() const override {
    std::vector<std::string> paths;
    for (const std::string& file : files_) paths.push_back(folder_.path_of(file));
    return stamp_of(*this, paths);
  }

 private:
  void add(const std::string& file, int32_t label) {
    files_.push_back(file);
    labels.push_back(label);
  }

  void find_train() {
    int64_t missing = 0, short_classes = 0;
    for (size_t label = 0; label < wnids_.size(); ++label) {
      const std::string images = "train/" + wnids_[label] + "/images";
      const size_t before = files_.size();
      for (const std::string& name_in : folder_.names(images)) {
        const std::string file = join_path(images, name_in);
        if (name_in[0] == '.' || folder_.has_folder(file) ||
            !is_picture_file(facts(), file, [&] { return folder_.file(file); }))
          passed_over_.add(name_in[0] == '.' ? "hidden files" : kNoPictures, folder_.path_of(file));
        else
          add(file, static_cast<int32_t>(label));
      }
      if (files_.size() == before) {
        fail_data(facts(), fmt::format("{}: expected JPEG files, found none; {}", folder_.path_of(images),
                                       facts().where_to_get));
      }
      if (const auto there = static_cast<int64_t>(files_.size() - before); there < kPublishedPerClass) {
        ++short_classes;
        missing += kPublishedPerClass - there;
      }
    }
    if (missing > 0) {
      warnings.push_back(fmt::format("{}/train: {} images fewer than were published, in {} of {} classes", source,
                                     missing, short_classes, wnids_.size()));
    }
    if (!passed_over_.empty()) warnings.push_back(fmt::format("{}: {}", source, passed_over_.text(source)));
  }

  void find_val() {
    const DataFile list = folder_.file("val/val_annotations.txt");
    const std::string& annotations = list.path();
    int64_t number = 0, missing = 0;
    std::string first_missing;
    for (const std::string& line : read_lines(facts(), list)) {
      ++number;
      if (line.empty()) continue;
      const size_t tab = line.find('\t');
      const std::string file = line.substr(0, tab);
      const std::string wnid = tab == std::string::npos ? "" : line.substr(tab + 1, line.find('\t', tab + 1) - tab - 1);
      const auto found = std::lower_bound(wnids_.begin(), wnids_.end(), wnid);
      const bool plain = !file.empty() && file[0] != '.' && file.find('/') == std::string::npos;
      if (!plain || found == wnids_.end() || *found != wnid) {
        fail_data(facts(), fmt::format("{}: expected a file name, a tab and an id of wnids.txt, found {} in line {}; "
                                       "{}",
                                       annotations, quoted_text(line), number, facts().where_to_get));
      }
      const std::string path = "val/images/" + file;
      if (folder_.has_file(path)) {
        add(path, static_cast<int32_t>(found - wnids_.begin()));
      } else {
        if (missing++ == 0) first_missing = file;
      }
    }
    if (files_.empty()) {
      fail_data(facts(), fmt::format("{}: expected the images it names in val/images, found none; {}", annotations,
                                     facts().where_to_get));
    }
    if (missing > 0) {
      warnings.push_back(fmt::format("{} names {} images that are not in val/images (the first is {}): {} remain",
                                     annotations, missing, quoted_text(first_missing), files_.size()));
    }
  }

  const DataFolder folder_;
  std::vector<std::string> wnids_, files_;
  PassedOver passed_over_;
};

}  // namespace

const DataSetFacts& tiny_imagenet_facts() {
  static const DataSetFacts set = {
      "tiny-imagenet",
      "get tiny-imagenet-200.zip, linked from http://cs231n.stanford.edu, and unpack it there (unzip)",
      {"train", "val"},
      "tiny-imagenet-200",
      {},
      {"wnids.txt"}};
  return set;
}

std::unique_ptr<ImageSource> open_tiny_imagenet(const std::string& path, TinyImagenetSplit split) {
  const std::string part = split == TinyImagenetSplit::train ? "train/" : "val/";
  const auto wanted = [&](const std::string& name) {
    return name == "wnids.txt" || name == "words.txt" || name.starts_with(part);
  };
  return std::make_unique<TinyImagenet>(DataFolder(facts(), path, wanted), split);
}

}  // namespace poise
