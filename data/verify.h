// Checks that the files of a data set are complete and as published.
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
  std::vector<FileVerdict> files;     // cifar10, cifar100, stl10: the official ones; pictures: the unusable ones
  std::vector<std::string> splits;    // that can be trained on
  std::string summary;                // a sentence about the whole set
  std::vector<std::string> warnings;  // files that were skipped, or fewer than published
  bool good = false;                  // nothing is damaged, and the default split is complete
};

// cifar10, cifar100 and stl10: checks sizes, and MD5s if published. tiny-imagenet and folder: decodes every picture,
// and counts those of tiny-imagenet. `progress` counts MiB or pictures. Error(data) if there is nothing to check.
DataVerdict verify_data(const std::string& name, const std::string& folder, const ReadProgress& progress);

// The verdict as text for users; ends with where to get missing files.
std::string verdict_text(const std::string& name, const DataVerdict& verdict);

}  // namespace poise
