#include "data/walk_pictures.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <set>

#include "data/picture_header.h"

namespace poise {
namespace {

constexpr int kMostDepth = 64;
constexpr size_t kMostNamed = 3;
constexpr const char *kHidden = "hidden files", *kRuns = "run directories of Poise",
                     *kAgain = "links to folders that were already read", *kNowhere = "broken links",
                     *kSpecial = "special files";

using FolderId = std::pair<dev_t, ino_t>;

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

// Orders paths folder by folder: a slash sorts before any other character.
bool earlier(const std::string& a, const std::string& b) {
  return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    const auto rank = [](char c) { return c == '/' ? 0 : static_cast<int>(static_cast<unsigned char>(c)); };
    return rank(x) < rank(y);
  });
}

struct stat status_of(const std::string& path, bool of_link, bool& there) {
  struct stat status {};
  there = true;
  while ((of_link ? ::lstat(path.c_str(), &status) : ::stat(path.c_str(), &status)) != 0) {
    if (errno == EINTR) continue;
    if (errno != ENOENT && errno != ENOTDIR) fail_to_read(path, "look at it", errno);
    there = false;
    break;
  }
  return status;
}

class Walk {
 public:
  Walk(const DataSetFacts& set, const std::string& folder) : set_(set), root_(folder) {
    bool there = false;
    const struct stat status = status_of(folder, false, there);
    visited_.insert({status.st_dev, status.st_ino});
  }

  FolderOfPictures take() {
    for (const std::string& name : names_of(root_)) look_at(join_path(root_, name), kInRoot, 1);
    // Links are followed once all real folders are known.
    for (size_t i = 0; i < links_.size(); ++i) follow(Link(links_[i]));
    for (ClassPictures& each : found_.classes) std::sort(each.paths.begin(), each.paths.end(), earlier);
    std::sort(found_.paths.begin(), found_.paths.end(), earlier);
    // A folder with nothing but runs is not a class.
    for (const int own : classes_with_runs_) {
      ClassPictures& each = found_.classes[static_cast<size_t>(own)];
      if (each.paths.empty()) each.name.clear();
    }
    std::erase_if(found_.classes, [](const ClassPictures& each) { return each.name.empty(); });
    return std::move(found_);
  }

 private:
  static constexpr int kInRoot = -1;
  struct Link {
    std::string path;
    FolderId id;
    int of_class, depth;
  };

  int new_class(const std::string& name) {
    found_.classes.push_back({name, {}});
    return static_cast<int>(found_.classes.size()) - 1;
  }

  std::vector<std::string> names_of(const std::string& folder) {
    std::vector<std::string> names = names_in_folder(folder);
    std::erase_if(names, [&](const std::string& name) {
      if (name[0] != '.') return false;
      found_.passed_over.add(kHidden, join_path(folder, name));
      return true;
    });
    return names;
  }

  void look_at(const std::string& path, int of_class, int depth) {
    bool there = false, target = true;
    const struct stat own = status_of(path, true, there);
    if (!there) return;  // removed since it was listed
    const struct stat status = S_ISLNK(own.st_mode) ? status_of(path, false, target) : own;
    if (!target) return found_.passed_over.add(kNowhere, path);
    if (S_ISDIR(status.st_mode)) {
      if (depth == 1) of_class = new_class(split_path(path).name);
      const FolderId id{status.st_dev, status.st_ino};
      if (S_ISLNK(own.st_mode))
        links_.push_back({path, id, of_class, depth});
      else
        enter(path, id, of_class, depth);
    } else if (!S_ISREG(status.st_mode)) {
      found_.passed_over.add(kSpecial, path);
    } else if (is_picture_file(set_, path, [&] { return DataFile(set_, path); })) {
      (of_class == kInRoot ? found_.paths : found_.classes[static_cast<size_t>(of_class)].paths).push_back(path);
    } else {
      found_.passed_over.add(kNoPictures, path);
    }
  }

  void follow(const Link& link) {
    if (!visited_.count(link.id)) return enter(link.path, link.id, link.of_class, link.depth);
    if (is_run_directory(link.path)) return pass_over_run(link.path, link.of_class);  // such as `latest`
    found_.passed_over.add(kAgain, link.path);
    if (link.depth > 1) return;
    fail_data(set_, fmt::format("{}: expected a folder of its own for each class, found a link to one that is read "
                                "already; remove the link",
                                link.path));
  }

  void pass_over_run(const std::string& folder, int of_class) {
    found_.passed_over.add(kRuns, folder);
    classes_with_runs_.insert(of_class);
  }

  void enter(const std::string& folder, const FolderId& id, int of_class, int depth) {
    if (!visited_.insert(id).second) return found_.passed_over.add(kAgain, folder);  // mounted twice
    if (is_run_directory(folder)) return pass_over_run(folder, of_class);
    if (depth > kMostDepth) {
      fail_data(set_, fmt::format("{}: expected at most {} folders inside each other; move it up", folder, kMostDepth));
    }
    for (const std::string& name : names_of(folder)) look_at(join_path(folder, name), of_class, depth + 1);
  }

  const DataSetFacts& set_;
  const std::string root_;
  FolderOfPictures found_;
  std::set<FolderId> visited_;
  std::vector<Link> links_;
  std::set<int> classes_with_runs_;
};

}  // namespace

bool is_run_directory(const std::string& folder) {
  return is_regular_file(join_path(folder, "config.toml")) && is_folder(join_path(folder, "checkpoints"));
}

void PassedOver::add(const std::string& reason, const std::string& path) { paths_[reason].push_back(path); }

int64_t PassedOver::count(const std::string& reason) const {
  const auto found = paths_.find(reason);
  return found == paths_.end() ? 0 : static_cast<int64_t>(found->second.size());
}

std::string PassedOver::text(const std::string& root) const {
  std::string text;
  for (const auto& [reason, paths] : paths_) {
    std::string names;
    for (size_t i = 0; i < std::min(paths.size(), kMostNamed); ++i) {
      const bool inside = paths[i].starts_with(root) && paths[i].size() > root.size();
      const size_t from = inside ? paths[i].find_first_not_of('/', root.size()) : 0;
      names += (i > 0 ? ", " : "") + paths[i].substr(from == std::string::npos ? 0 : from);
    }
    text += fmt::format("{}{} {} ({}{})", text.empty() ? "skipped " : ", ", paths.size(), reason, names,
                        paths.size() > kMostNamed ? ", .." : "");
  }
  return text;
}

FolderOfPictures walk_pictures(const DataSetFacts& set, const std::string& folder) { return Walk(set, folder).take(); }

bool is_picture_file(const DataSetFacts& set, const std::string& path, const std::function<DataFile()>& open) {
  constexpr std::array readable = {"png", "jpg", "jpeg", "jpe", "jfif", "bmp", "dib"};
  constexpr std::array unreadable = {"gif", "webp", "tif", "tiff", "heic", "heif", "avif", "jp2", "jxl", "tga", "ppm"};
  const std::string extension = extension_of(path.substr(path.rfind('/') + 1));
  if (is_one_of(extension, readable)) return true;  // not opened: decoding will tell if it is not a picture
  const DataFile file = open();
  std::vector<uint8_t> begin(static_cast<size_t>(std::min<int64_t>(file.size(), kBytesThatTell)));
  file.read(0, begin);
  if (begins_as_picture(begin)) return true;
  std::string other = other_picture_format(begin);
  if (other.empty() && is_one_of(extension, unreadable)) other = "." + extension;
  if (!other.empty()) {
    fail_data(set,
              fmt::format("{}: expected pictures as PNG, JPEG or BMP, found {}; convert or remove it", path, other));
  }
  return false;
}

}  // namespace poise
