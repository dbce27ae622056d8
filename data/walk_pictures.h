// The pictures in a folder and in those inside it, each once, told by their bytes and not by their names.
//
// A real folder is visited once, however many links lead to it: first all in the tree, then those that only links
// reach. Run directories of Poise are passed over, as are hidden files, and files that are no pictures; all of these are
// counted and named. A file that is called a picture but is none stays in the list: decoding says what is wrong with it.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "data/files.h"

namespace poise {

// What was left out, by reason.
class PassedOver {
 public:
  void add(const std::string& reason, const std::string& path);
  bool empty() const { return paths_.empty(); }
  int64_t count(const std::string& reason) const;
  // "passed over 12 files that are no PNG, JPEG or BMP (a.txt, b.txt, ..) and 1 hidden file (.x)"; paths within `root`.
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

// Error(data) for a picture in a format that Poise does not read, and for a subfolder that only a link leads to and that
// is part of the tree already, which would be two classes in one.
FolderOfPictures walk_pictures(const DataSetFacts& set, const std::string& folder);

// Of Poise: what train_gan makes (apps/run/run_directory.h).
bool is_run_directory(const std::string& folder);

// Is this file one to decode? Its name says it, or its first bytes, for which it is opened. Else it is passed over.
// Error(data) for a picture in another format.
bool is_picture_file(const DataSetFacts& set, const std::string& path, const std::function<DataFile()>& open);

constexpr const char* kNoPictures = "files that are no PNG, JPEG or BMP";

}  // namespace poise
