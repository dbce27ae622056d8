#include "data/image_set.h"

#include <zlib.h>

#include <algorithm>

#include "kernels/core/error.h"

namespace poise {

uint32_t crc_of(const ImageSet& set) {
  uLong crc = crc32_z(0, set.pixels.data(), set.pixels.size());
  if (!set.labels.empty()) {
    crc = crc32_z(crc, reinterpret_cast<const Bytef*>(set.labels.data()), set.labels.size() * sizeof(set.labels[0]));
  }
  return static_cast<uint32_t>(crc);
}

void keep_classes(ImageSet& set, const std::vector<int32_t>& classes) {
  if (set.labels.empty()) {
    fail(ErrorKind::usage,
         set.source + ": expected images with classes to choose from, found none; leave only_classes out");
  }
  std::vector<int32_t> labels;
  std::vector<std::string> names;
  for (const int32_t each : classes) names.push_back(set.class_names.at(static_cast<size_t>(each)));
  const auto size = static_cast<std::ptrdiff_t>(set.height * set.width * set.channels);
  auto to = set.pixels.begin();
  for (size_t i = 0; i < set.labels.size(); ++i) {
    const auto found = std::find(classes.begin(), classes.end(), set.labels[i]);
    if (found == classes.end()) continue;
    labels.push_back(static_cast<int32_t>(found - classes.begin()));
    const auto from = set.pixels.begin() + static_cast<std::ptrdiff_t>(i) * size;
    if (from != to) std::copy(from, from + size, to);
    to += size;
  }
  set.pixels.erase(to, set.pixels.end());
  set.labels = std::move(labels);
  set.class_names = std::move(names);
  set.count = static_cast<int64_t>(set.labels.size());
  set.crc = crc_of(set);
}

}  // namespace poise
