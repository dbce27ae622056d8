#include "data/tiny_imagenet.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace poise {
namespace {

constexpr const char* kOfficialFolder = "tiny-imagenet-200";
constexpr size_t kMostClasses = 1000;

const DataSetFacts& facts() { return tiny_imagenet_facts(); }

// Ids become parts of paths: nothing but the letter and the digits.
bool is_wnid(const std::string& text) {
  return text.size() == 9 && text[0] == 'n' && text.find_first_not_of("0123456789", 1) == std::string::npos;
}

std::vector<std::string> read_wnids(const std::string& path) {
  std::vector<std::string> wnids;
  for (const std::string& line : read_lines(facts(), path)) {
    if (line.empty()) continue;
    if (!is_wnid(line)) {
      fail_data(facts(), fmt::format("{}: expected ids as n01443537, found {} in line {}; {}", path, quoted(line),
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

// Words are for people to read: an id without any is called by its id.
std::vector<std::string> read_words(const std::string& path, const std::vector<std::string>& wnids) {
  std::map<std::string, std::string> words;
  if (path_exists(path)) {
    for (const std::string& line : read_lines(facts(), path)) {
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
  TinyImagenet(const std::string& folder, TinyImagenetSplit split) {
    name = "tiny-imagenet";
    source = folder;
    wnids_ = read_wnids(path_in(folder, "wnids.txt"));
    class_names = read_words(path_in(folder, "words.txt"), wnids_);
    for (const char* file : {"wnids.txt", "words.txt", "val/val_annotations.txt"}) {
      if (const std::string path = path_in(folder, file); path_exists(path)) add_to_fingerprint(path);
    }
    split == TinyImagenetSplit::train ? find_train() : find_val();
    count = static_cast<int64_t>(paths_.size());
  }

  Picture picture(int64_t i) const override { return read_picture(facts(), paths_[static_cast<size_t>(i)]); }

 private:
  void add_to_fingerprint(const std::string& path) { fingerprint += fingerprint_of(facts(), path) + "\n"; }
  void add(const std::string& path, int32_t label) {
    add_to_fingerprint(path);
    paths_.push_back(path);
    labels.push_back(label);
  }

  void find_train() {
    for (size_t label = 0; label < wnids_.size(); ++label) {
      const std::string folder = path_in(source, "train/" + wnids_[label] + "/images");
      check_folder(facts(), folder);
      const size_t before = paths_.size();
      for (const std::string& file : names_in(facts(), folder)) {
        if (file.ends_with(".JPEG")) add(path_in(folder, file), static_cast<int32_t>(label));
      }
      if (paths_.size() == before) {
        fail_data(facts(), fmt::format("{}: expected JPEG files, found none; {}", folder, facts().where_to_get));
      }
    }
  }

  void find_val() {
    const std::string annotations = path_in(source, "val/val_annotations.txt");
    int64_t number = 0;
    for (const std::string& line : read_lines(facts(), annotations)) {
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
                                       annotations, quoted(line), number, facts().where_to_get));
      }
      const std::string path = path_in(source, "val/images/" + file);
      if (path_exists(path)) add(path, static_cast<int32_t>(found - wnids_.begin()));
    }
    if (paths_.empty()) {
      fail_data(facts(), fmt::format("{}: expected the images it names in val/images, found none; {}", annotations,
                                     facts().where_to_get));
    }
  }

  std::vector<std::string> wnids_, paths_;
};

}  // namespace

const DataSetFacts& tiny_imagenet_facts() {
  static const DataSetFacts set = {
      "tiny-imagenet",
      "get tiny-imagenet-200.zip, linked from http://cs231n.stanford.edu, and unpack it there (unzip)"};
  return set;
}

std::unique_ptr<ImageSource> open_tiny_imagenet(const std::string& folder, TinyImagenetSplit split) {
  check_folder(facts(), folder);
  const std::string inside = path_in(folder, kOfficialFolder);
  return std::make_unique<TinyImagenet>(is_folder(inside) ? inside : folder, split);
}

}  // namespace poise
