#include "data/cifar_records.h"

#include <fmt/format.h>

namespace poise {
namespace {

constexpr int64_t kSide = 32, kChannels = 3, kPlane = kSide * kSide, kImageBytes = kChannels * kPlane;

}  // namespace

ImageSet empty_cifar_set(const std::string& name, const std::string& source, std::vector<std::string> class_names,
                         int64_t most_records) {
  ImageSet set{.name = name, .source = source, .height = kSide, .width = kSide, .channels = kChannels};
  set.class_names = std::move(class_names);
  set.pixels.reserve(static_cast<size_t>(most_records * kImageBytes));
  set.labels.reserve(static_cast<size_t>(most_records));
  return set;
}

void check_cifar_file(const DataSetFacts& set, const CifarFormat& format, const DataFile& file, int64_t records) {
  const int64_t bytes = records * format.record_bytes();
  if (file.size() == bytes) return;
  fail_data(set, fmt::format("{}: expected {} bytes ({} records of {}), found {}: {}; {}", file.path(), bytes, records,
                             format.record_bytes(), file.size(), file.size() < bytes ? "truncated" : "oversized",
                             set.where_to_get));
}

void append_cifar_records(const DataSetFacts& facts, const CifarFormat& format, std::span<const uint8_t> records,
                          const std::string& source, ImageSet& set) {
  const int64_t size = format.record_bytes(), count = static_cast<int64_t>(records.size()) / size;
  const auto classes = static_cast<int64_t>(set.class_names.size());
  set.pixels.resize(static_cast<size_t>((set.count + count) * kImageBytes));
  for (int64_t i = 0; i < count; ++i) {
    const uint8_t* planes = records.data() + i * size + format.label_bytes;
    const uint8_t label = planes[-1];
    if (label >= classes) {
      fail_data(facts,
                fmt::format("{}: expected labels 0 to {}, found {} in record {} (byte {}); the file is damaged, "
                            "{}",
                            source, classes - 1, label, i, i * size + format.label_bytes - 1, facts.where_to_get));
    }
    set.labels.push_back(label);
    uint8_t* image = set.pixels.data() + (set.count + i) * kImageBytes;
    for (int64_t p = 0; p < kPlane; ++p) {
      for (int64_t c = 0; c < kChannels; ++c) image[p * kChannels + c] = planes[c * kPlane + p];
    }
  }
  set.count += count;
}

}  // namespace poise
