#include "data/cifar100.h"

#include <fmt/format.h>

#include "data/cifar_records.h"
#include "data/data_folder.h"

namespace poise {
namespace {

constexpr CifarFormat kFormat{.label_bytes = 2};
constexpr int64_t kClasses = 100, kMostRecords = 50000;
constexpr const char* kNames = "fine_label_names.txt";

std::vector<std::string> numbers() {
  std::vector<std::string> names;
  for (int64_t i = 0; i < kClasses; ++i) names.push_back(std::to_string(i));
  return names;
}

// The official folder has a file of names next to the images.
std::vector<std::string> class_names(const DataFolder& folder) {
  if (!folder.has_file(kNames)) return numbers();
  std::vector<std::string> names = read_lines(cifar100_facts(), folder.file(kNames));
  while (!names.empty() && names.back().empty()) names.pop_back();
  if (static_cast<int64_t>(names.size()) != kClasses) {
    fail_data(cifar100_facts(), fmt::format("{}: expected {} names, found {}; {}", folder.path_of(kNames), kClasses,
                                            names.size(), cifar100_facts().where_to_get));
  }
  return names;
}

const char* official_file(CifarSplit split) { return split == CifarSplit::train ? "train.bin" : "test.bin"; }

ImageSet read_official(const DataFolder& folder, CifarSplit split) {
  const DataFile file = folder.file(official_file(split));
  check_cifar_file(cifar100_facts(), kFormat, file, split == CifarSplit::train ? 50000 : 10000);
  ImageSet set = parse_cifar100(file.read_all(), file.path());
  set.source = folder.path();
  set.class_names = class_names(folder);
  return set;
}

}  // namespace

const DataSetFacts& cifar100_facts() {
  static const DataSetFacts facts = {
      "cifar100",
      "get cifar-100-binary.tar.gz from https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz and unpack it there",
      {"train", "test"},
      "cifar-100-binary",
      // Only the MD5 of the whole archive was published.
      {{"train.bin", 153700000, "", {"train"}}, {"test.bin", 30740000, "", {"test"}}}};
  return facts;
}

ImageSet parse_cifar100(std::span<const uint8_t> records, const std::string& source) {
  const auto bytes = static_cast<int64_t>(records.size());
  const int64_t record = kFormat.record_bytes();
  if (bytes == 0 || bytes % record != 0 || bytes / record > kMostRecords) {
    fail_data(cifar100_facts(), fmt::format("{}: expected 1 to {} whole records of {} bytes, found {} bytes; restore "
                                            "the file",
                                            source, kMostRecords, record, bytes));
  }
  ImageSet set = empty_cifar_set("cifar100", source, numbers(), bytes / record);
  append_cifar_records(cifar100_facts(), kFormat, records, source, set);
  set.crc = crc_of(set);
  return set;
}

ImageSet read_cifar100(const std::string& path, CifarSplit split) {
  const auto wanted = [&](const std::string& name) { return name == official_file(split) || name == kNames; };
  return read_official(DataFolder(cifar100_facts(), path, wanted), split);
}

}  // namespace poise
