#include "data/registry.h"

#include <fmt/format.h>

#include <algorithm>
#include <new>

#include "data/archive.h"
#include "data/cifar10.h"
#include "data/cifar100.h"
#include "data/image_cache.h"
#include "data/image_folder.h"
#include "data/stl10.h"
#include "data/tiny_imagenet.h"
#include "kernels/core/error.h"

namespace poise {
namespace {

// Wraps a set that was read as a whole, so that its images can be resized.
class ReadySource : public ImageSource {
 public:
  explicit ReadySource(const ImageSet& set) : set_(set) {
    name = set.name;
    source = set.source;
    count = set.count;
    labels = set.labels;
    class_names = set.class_names;
  }
  std::vector<uint8_t> bytes(int64_t i) const override {
    const int64_t size = set_.height * set_.width * 3;
    const uint8_t* first = set_.pixels.data() + i * size;
    return {first, first + size};
  }
  Picture decode(int64_t, std::span<const uint8_t> bytes) const override {
    return {.height = set_.height, .width = set_.width, .rgb = {bytes.begin(), bytes.end()}};
  }

 private:
  const ImageSet& set_;
};

// Either `read` or `open` is set; `split` is an index into the facts' splits.
struct Entry {
  const DataSetFacts& (*facts)();
  int64_t side;  // 0: the caller must choose
  ImageSet (*read)(const std::string& folder, size_t split) = nullptr;
  std::unique_ptr<ImageSource> (*open)(const std::string& folder, size_t split) = nullptr;
};

template <class Split, ImageSet read(const std::string&, Split)>
ImageSet read_split(const std::string& folder, size_t split) {
  return read(folder, static_cast<Split>(split));
}
template <class Split, std::unique_ptr<ImageSource> open(const std::string&, Split)>
std::unique_ptr<ImageSource> open_split(const std::string& folder, size_t split) {
  return open(folder, static_cast<Split>(split));
}

const std::vector<Entry>& entries() {
  static const std::vector<Entry> all = {
      {cifar10_facts, 32, read_split<CifarSplit, read_cifar10>},
      {cifar100_facts, 32, read_split<CifarSplit, read_cifar100>},
      {stl10_facts, 48, nullptr, open_split<Stl10Split, open_stl10>},
      {tiny_imagenet_facts, 64, nullptr, open_split<TinyImagenetSplit, open_tiny_imagenet>},
      {image_folder_facts, 0, nullptr, [](const std::string& folder, size_t) { return open_image_folder(folder); }},
  };
  return all;
}

const Entry& entry_of(const std::string& name) {
  for (const Entry& entry : entries()) {
    if (entry.facts().name == name) return entry;
  }
  fail(ErrorKind::usage, fmt::format("dataset: expected {} but got {}", fmt::join(data_set_names(), ", "), name));
}

size_t split_of(const DataSetFacts& set, const std::string& split) {
  if (split == "auto") return 0;
  const auto found = std::find(set.splits.begin(), set.splits.end(), split);
  if (found == set.splits.end()) {
    fail(ErrorKind::usage,
         fmt::format("split: dataset {} has auto, {} but got {}", set.name, fmt::join(set.splits, ", "), split));
  }
  return static_cast<size_t>(found - set.splits.begin());
}

// The cache only saves time: one that cannot be read is left alone, and one that cannot be written is not used.
ImageSet prepare_with_cache(const ImageSource& source, int64_t side, const ReadOptions& options) {
  if (options.cache_folder.empty()) return prepare_images(source, side, options.progress);
  const auto note = [&](const std::string& text) {
    if (options.note) options.note(text);
  };
  const std::string stamp = source.stamp();  // before anything is read
  const auto keep = [&](const std::string& content) {
    if (!stamp.empty() && source.stamp() == stamp) keep_content(options.cache_folder, stamp, content);
  };
  std::string content;
  bool writes = true;
  try {
    // Without a candidate in the cache, the files are read only once, and decoding computes the hash as a by-product.
    if (cache_may_have(options.cache_folder, source, side)) {
      content = known_content(options.cache_folder, stamp);
      const bool known = !content.empty();
      if (!known) content = content_of(source, options.progress);
      const std::string path = cache_path(options.cache_folder, source, side, content);
      if (auto set = read_cached(path, source, side)) {
        if (!known) keep(content);
        note(fmt::format("{} images of {}x{} from the cache {}", set->count, side, side, path));
        return std::move(*set);
      }
    }
  } catch (const Error& error) {
    const bool of_cache = std::string(error.what()).starts_with(options.cache_folder);
    if (error.kind() != ErrorKind::environment || !of_cache) throw;
    note(fmt::format("warning: {}; the images are decoded without the cache", error.what()));
    writes = false;
  }
  ImageSet set = prepare_images(source, side, options.progress, &content);
  if (!writes) return set;
  const std::string path = cache_path(options.cache_folder, source, side, content);
  try {
    write_cached(path, set);
    keep(content);
    note(fmt::format("kept the resized images in {} ({} MiB)", path, set.pixels.size() >> 20));
  } catch (const Error& error) {
    note(fmt::format("warning: {}; the next run decodes the images again", error.what()));
  }
  return set;
}

}  // namespace

std::vector<std::string> data_set_names() {
  std::vector<std::string> names;
  for (const Entry& entry : entries()) names.push_back(entry.facts().name);
  return names;
}

std::vector<std::string> split_names() {
  std::vector<std::string> names = {"auto"};
  for (const Entry& entry : entries()) {
    for (const std::string& split : entry.facts().splits) {
      if (std::find(names.begin(), names.end(), split) == names.end()) names.push_back(split);
    }
  }
  return names;
}

std::string resolved_split(const std::string& name, const std::string& split) {
  const DataSetFacts& set = data_set_facts(name);
  return set.splits[split_of(set, split)];
}

const DataSetFacts& data_set_facts(const std::string& name) { return entry_of(name).facts(); }

std::string data_set_in(const std::string& path) {
  constexpr size_t kLookedAt = 20;
  std::vector<std::string> packed;
  if (is_archive(path)) {
    packed = first_paths_in_archive({"data", "get it where it was published"}, path, kLookedAt);
    if (packed.empty()) return "";
  }
  for (const Entry& entry : entries()) {
    const DataSetFacts& facts = entry.facts();
    std::vector<std::string> marks = facts.marks;
    for (const OfficialFile& file : facts.files) marks.push_back(file.name);
    for (const std::string& inner : {std::string(), facts.inner_folder}) {
      for (const std::string& mark : marks) {
        const std::string name = join_path(inner, mark);
        const bool there = packed.empty() ? is_regular_file(join_path(path, name))
                                          : std::find(packed.begin(), packed.end(), name) != packed.end();
        if (there) return facts.name;
      }
    }
    const auto inside = [&](const std::string& name) { return name.starts_with(facts.inner_folder + "/"); };
    if (!facts.inner_folder.empty() && std::any_of(packed.begin(), packed.end(), inside)) return facts.name;
  }
  return packed.empty() && holds_pictures(path) ? image_folder_facts().name : "";
}

ImageSet read_images(const std::string& name, const std::string& folder, const ReadOptions& options) {
  const Entry& entry = entry_of(name);
  const size_t split = split_of(entry.facts(), options.split);
  const int64_t side = options.image_size > 0 ? options.image_size : entry.side;
  if (side == 0) fail(ErrorKind::usage, "image_size: a folder of pictures has no size of its own; give --image-size");
  try {
    if (entry.open) return prepare_with_cache(*entry.open(folder, split), side, options);
    ImageSet set = entry.read(folder, split);
    if (side == set.height) return set;
    if (side > set.height && options.note) {
      options.note(fmt::format("warning: {} has images of {}x{}; they are enlarged to {}x{}", name, set.height,
                               set.width, side, side));
    }
    ImageSet resized = prepare_images(ReadySource(set), side, options.progress);
    resized.warnings = set.warnings;
    return resized;
  } catch (const std::bad_alloc&) {
    fail(ErrorKind::runtime, fmt::format("{}: {}: out of memory for its images of {}x{}; use a smaller image_size or "
                                         "fewer images",
                                         name, folder, side, side));
  }
}

}  // namespace poise
