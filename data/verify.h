// Are the files of a data set all there, and what their makers published?
#pragma once
#include <string>
#include <vector>

#include "data/registry.h"

namespace poise {

struct FileVerdict {
  enum class State : uint8_t { good, missing, damaged };
  std::string file;
  State state = State::good;
  std::string text;  // "2764800000 bytes, md5 5242ba1f.."
};

struct DataVerdict {
  std::string folder;                 // where the files were looked for
  std::vector<FileVerdict> files;     // of cifar10, cifar100, stl10 the official ones; of pictures those of no use
  std::vector<std::string> splits;    // that can be trained on
  std::string summary;                // a sentence on the whole
  std::vector<std::string> warnings;  // what was passed over, or is fewer than was published
  bool good = false;                  // nothing is damaged, and the default split is there
};

// cifar10, cifar100 and stl10: sizes, and MD5s where they are published. tiny-imagenet and folder: decodes every
// picture; counts those of the former. `progress` counts MiB or pictures. Error(data) if there is nothing to look at.
DataVerdict verify_data(const std::string& name, const std::string& folder, const ReadProgress& progress);

// As lines for people; ends with where to get what is missing.
std::string verdict_text(const std::string& name, const DataVerdict& verdict);

}  // namespace poise
