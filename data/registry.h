// The data sets by name.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/image_source.h"

namespace poise {

std::vector<std::string> data_set_names();
// All splits of all sets. "auto" is first: the split that a set trains on by default.
std::vector<std::string> split_names();
// Resolves "auto" for this set; returns other splits unchanged. Error(usage) as for read_images().
std::string resolved_split(const std::string& name, const std::string& split);
// Error(usage) for an unknown name, listing the known ones.
const DataSetFacts& data_set_facts(const std::string& name);

// The set whose files are in the folder `path`, in the set's inner folder there, or in the archive `path`. "folder" if
// there are pictures instead, in it or in subfolders; "" if `path` has neither or is something else.
std::string data_set_in(const std::string& path);

struct ReadOptions {
  std::string split = "auto";  // cifar10, cifar100: train; stl10: unlabeled; tiny-imagenet: train
  int64_t image_size = 0;      // side of the images; 0: 32, 32, 48, 64; a folder has no size of its own
  std::string cache_folder;    // for sets that must be decoded or resized (image_cache.h); "": no cache
  ReadProgress progress;
  std::function<void(const std::string&)> note;  // receives lines about the cache, and warnings
};

// Error(data) if files are missing or damaged, Error(usage) for an invalid name, split or size.
ImageSet read_images(const std::string& name, const std::string& folder, const ReadOptions& options);

}  // namespace poise
