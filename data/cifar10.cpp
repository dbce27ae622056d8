#include "data/cifar10.h"

#include <fmt/format.h>

#include <algorithm>

#include "data/cifar_records.h"
#include "data/data_folder.h"

namespace poise {
namespace {

constexpr CifarFormat kFormat{.label_bytes = 1};
constexpr int64_t kRecordsPerBatch = 10000, kMostRecords = 50000;
constexpr const char* kSampleFile = "cifar10_sample.bin";

std::vector<std::string> class_names() {
  return {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};
}

std::vector<std::string> official_files(CifarSplit split) {
  if (split == CifarSplit::test) return {"test_batch.bin"};
  return {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"};
}

bool is_official_file(const std::string& name) {
  for (CifarSplit split : {CifarSplit::train, CifarSplit::test}) {
    for (const std::string& official : official_files(split)) {
      if (name == official) return true;
    }
  }
  return false;
}

void check_record_bytes(int64_t bytes, const std::string& source) {
  const int64_t record = kFormat.record_bytes();
  if (bytes > 0 && bytes % record == 0 && bytes / record <= kMostRecords) return;
  fail_data(cifar10_facts(), fmt::format("{}: expected 1 to {} whole records of {} bytes, found {} bytes; restore the "
                                         "file",
                                         source, kMostRecords, record, bytes));
}

ImageSet read_official(const DataFolder& folder, CifarSplit split) {
  const std::vector<std::string> names = official_files(split);
  std::vector<DataFile> files;
  files.reserve(names.size());
  for (const std::string& name : names) {
    files.push_back(folder.file(name));
    check_cifar_file(cifar10_facts(), kFormat, files.back(), kRecordsPerBatch);
  }
  ImageSet set =
      empty_cifar_set("cifar10", folder.path(), class_names(), static_cast<int64_t>(names.size()) * kRecordsPerBatch);
  for (const DataFile& file : files) {
    append_cifar_records(cifar10_facts(), kFormat, file.read_all(), file.path(), set);
  }
  set.crc = crc_of(set);
  return set;
}

ImageSet read_sample(const DataFolder& folder, CifarSplit split) {
  const std::string path = folder.path_of(kSampleFile);
  if (split == CifarSplit::test) {
    fail_data(cifar10_facts(),
              fmt::format("{}: expected test images, found the bundled sample, which holds training images only; use "
                          "the full set: {}",
                          path, cifar10_facts().where_to_get));
  }
  const DataFile file = folder.file(kSampleFile);
  check_record_bytes(file.size(), path);
  ImageSet set = parse_cifar10(file.read_all(), path);
  set.source = folder.path();
  return set;
}

// Reports a folder with none of the expected files, and the likely mistake.
[[noreturn]] void fail_nothing_found(const DataFolder& folder) {
  std::string found = "none of them";
  if (folder.has_file("data_batch_1") || folder.has_folder("cifar-10-batches-py")) {
    found = "the Python version";
  } else if (folder.has_file("cifar-10-binary.tar.gz")) {
    found = "cifar-10-binary.tar.gz (which --data takes as well)";
  }
  fail_data(cifar10_facts(),
            fmt::format("{}: expected data_batch_1.bin to data_batch_5.bin and test_batch.bin, or {}/, or {}, found "
                        "{}; {}; pictures of another data set need --dataset",
                        folder.path(), cifar10_facts().inner_folder, kSampleFile, found, cifar10_facts().where_to_get));
}

}  // namespace

const DataSetFacts& cifar10_facts() {
  static const DataSetFacts facts = {
      "cifar10",
      "get cifar-10-binary.tar.gz from https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz and unpack it there",
      {"train", "test"},
      "cifar-10-batches-bin",
      // The MD5s that users of the set commonly check.
      {{"data_batch_1.bin", 30730000, "5dd7e06a14cb22eb9f671a540d1b7c25", {"train"}},
       {"data_batch_2.bin", 30730000, "5ea93a67294ea407fff1d09f752e9692", {"train"}},
       {"data_batch_3.bin", 30730000, "942cd6a4bcdd0dd3c604fbe906cb4421", {"train"}},
       {"data_batch_4.bin", 30730000, "ae636b3ba5c66a11e91e8cb52e771fcb", {"train"}},
       {"data_batch_5.bin", 30730000, "53f37980c15c3d472c316c40844f3f0d", {"train"}},
       {"test_batch.bin", 30730000, "803d5f7f4d78ea53de84dbe85f74fb6d", {"test"}}},
      {kSampleFile}};
  return facts;
}

ImageSet parse_cifar10(std::span<const uint8_t> records, const std::string& source) {
  const auto bytes = static_cast<int64_t>(records.size());
  check_record_bytes(bytes, source);
  const char* const name = source.ends_with(kSampleFile) ? "cifar10_sample" : "cifar10";
  ImageSet set = empty_cifar_set(name, source, class_names(), bytes / kFormat.record_bytes());
  append_cifar_records(cifar10_facts(), kFormat, records, source, set);
  set.crc = crc_of(set);
  return set;
}

ImageSet read_cifar10(const std::string& path, CifarSplit split) {
  const DataFolder folder(cifar10_facts(), path, [&](const std::string& name) {
    const auto names = official_files(split);
    return name == kSampleFile || std::find(names.begin(), names.end(), name) != names.end();
  });
  const std::vector<std::string> names = folder.names("");
  if (std::any_of(names.begin(), names.end(), is_official_file)) return read_official(folder, split);
  if (folder.has_file(kSampleFile)) return read_sample(folder, split);
  fail_nothing_found(folder);
}

}  // namespace poise
