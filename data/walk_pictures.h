// Finds the pictures in a folder and its subfolders, each once, by the file extension or else by the first bytes.
//
// A real folder is visited once, no matter how many links lead to it: first all folders in the tree, then those that
// only links reach. Run directories of Poise, hidden files and files that are not pictures are skipped, counted and
// named. A file with the extension of a picture is included even if it is none: decoding says what is wrong with it.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "data/files.h"

namespace poise {

// What was skipped, by reason.
class PassedOver {
 public:
  void add(const std::string& reason, const std::string& path);
  bool empty() const { return paths_.empty(); }
  int64_t count(const std::string& reason) const;
  // "skipped 12 files that are not PNG, JPEG or BMP (a.txt, b.txt, ..) and 1 hidden file (.x)"; paths within `root`.
  std::string text(const std::string& root) const;

 private:
  std::map<std::string, std::vector<std::string>> paths_;
};

struct ClassPictures {
  std::string name;
  std::vector<std::string> paths;  // by path, folder by folder
};

struct FolderOfPictures {
  std::vector<std::string> paths;      // of pictures in the folder itself
  std::vector<ClassPictures> classes;  // its subfolders with all inside them, by name
  PassedOver passed_over;
};

// Error(data) for a picture in a format that Poise does not read, and for a class that is a link to a folder already in
// the tree, whose pictures would belong to two classes.
FolderOfPictures walk_pictures(const DataSetFacts& set, const std::string& folder);

// True for a run directory as train_gan makes it (apps/run/run_directory.h).
bool is_run_directory(const std::string& folder);

// True if the file should be decoded, by its extension or by its first bytes, for which it is opened. Error(data) for a
// picture in a format that Poise does not read.
bool is_picture_file(const DataSetFacts& set, const std::string& path, const std::function<DataFile()>& open);

constexpr const char* kNoPictures = "files that are not PNG, JPEG or BMP";

}  // namespace poise
