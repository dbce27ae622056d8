// The data sets by name.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/image_source.h"

namespace poise {

std::vector<std::string> data_set_names();
// All splits of all sets, "auto" first: what a set trains on by default.
std::vector<std::string> split_names();
// What "auto" means for this set; every other split is itself. Error(usage) as read_images.
std::string resolved_split(const std::string& name, const std::string& split);
// Error(usage) for an unknown name, listing the known ones.
const DataSetFacts& data_set_facts(const std::string& name);

// The set whose files lie in `folder`, or in its archive's own folder in there: "folder" if there are pictures instead,
// in it or in subfolders; "" if it holds neither or is no folder.
std::string data_set_in(const std::string& folder);

struct ReadOptions {
  std::string split = "auto";  // cifar10, cifar100: train; stl10: unlabeled; tiny-imagenet: train
  int64_t image_size = 0;      // side of the images; 0: 32, 32, 48, 64; a folder has no size of its own
  std::string cache_folder;    // for sets that must be decoded or resized (image_cache.h); "": no cache
  ReadProgress progress;
  std::function<void(const std::string&)> note;  // lines about the cache, and of warning
};

// Error(data) if files are missing or damaged, Error(usage) for a name, split or size that there is not.
ImageSet read_images(const std::string& name, const std::string& folder, const ReadOptions& options);

}  // namespace poise
