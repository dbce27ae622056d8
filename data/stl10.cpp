#include "data/stl10.h"

#include <fmt/format.h>

#include "data/data_folder.h"

namespace poise {
namespace {

constexpr int64_t kSide = 96, kPlane = kSide * kSide, kImageBytes = 3 * kPlane;
constexpr int64_t kUnlabeled = 100'000, kTrain = 5'000, kTest = 8'000;
constexpr const char* kSampleFile = "unlabeled_sample_X.bin";

class Stl10 : public ImageSource {
 public:
  Stl10(const DataFolder& folder, Stl10Split split) : folder_(folder) {
    source = folder.path();
    name = "stl10";
    if (split == Stl10Split::train || split == Stl10Split::train_and_unlabeled) add_official("train_X.bin", kTrain);
    if (split == Stl10Split::test) add_official("test_X.bin", kTest);
    if (split == Stl10Split::unlabeled || split == Stl10Split::train_and_unlabeled) add_unlabeled();
    if (split == Stl10Split::train) read_labels("train_y.bin", kTrain);
    if (split == Stl10Split::test) read_labels("test_y.bin", kTest);
  }

  std::vector<uint8_t> bytes(int64_t i) const override {
    const DataFile* file = files_.data();
    while (i >= images_in(*file)) i -= images_in(*file++);
    std::vector<uint8_t> planes(kImageBytes);
    file->read(i * kImageBytes, planes);
    return planes;
  }

  Picture decode(int64_t, std::span<const uint8_t> planes) const override {
    Picture picture{.height = kSide, .width = kSide};
    picture.rgb.resize(kImageBytes);
    for (int64_t c = 0; c < 3; ++c) {
      for (int64_t x = 0; x < kSide; ++x) {
        const uint8_t* column = planes.data() + c * kPlane + x * kSide;
        for (int64_t y = 0; y < kSide; ++y) picture.rgb[static_cast<size_t>((y * kSide + x) * 3 + c)] = column[y];
      }
    }
    return picture;
  }

 private:
  static int64_t images_in(const DataFile& file) { return file.size() / kImageBytes; }

  void add(DataFile file) {
    count += images_in(file);
    files_.push_back(std::move(file));
  }

  void add_official(const std::string& file_name, int64_t images) {
    DataFile file = folder_.file(file_name);
    check_size(file, images, kImageBytes);
    add(std::move(file));
  }

  void add_unlabeled() {
    if (folder_.has_file("unlabeled_X.bin") || !folder_.has_file(kSampleFile)) {
      return add_official("unlabeled_X.bin", kUnlabeled);
    }
    DataFile file = folder_.file(kSampleFile);
    if (file.size() == 0 || file.size() % kImageBytes != 0) {
      fail_data(stl10_facts(), fmt::format("{}: expected whole images of {} bytes, found {} bytes; restore the file",
                                           file.path(), kImageBytes, file.size()));
    }
    name = "stl10_sample";
    add(std::move(file));
  }

  void read_labels(const std::string& file_name, int64_t images) {
    const DataFile file = folder_.file(file_name);
    check_size(file, images, 1);
    class_names = {"airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"};
    for (const uint8_t label : file.read_all()) {
      if (label < 1 || label > class_names.size()) {
        fail_data(stl10_facts(), fmt::format("{}: expected labels 1 to 10, found {} at byte {}; the file is damaged, "
                                             "{}",
                                             file.path(), label, labels.size(), stl10_facts().where_to_get));
      }
      labels.push_back(label - 1);
    }
  }

  static void check_size(const DataFile& file, int64_t records, int64_t record_bytes) {
    const int64_t bytes = records * record_bytes;
    if (file.size() == bytes) return;
    fail_data(stl10_facts(), fmt::format("{}: expected {} bytes ({} records of {}), found {}: {}; {}", file.path(),
                                         bytes, records, record_bytes, file.size(),
                                         file.size() < bytes ? "truncated" : "oversized", stl10_facts().where_to_get));
  }

  const DataFolder folder_;
  std::vector<DataFile> files_;
};

}  // namespace

const DataSetFacts& stl10_facts() {
  static const DataSetFacts facts = {
      "stl10",
      "get stl10_binary.tar.gz from https://cs.stanford.edu/~acoates/stl10/ and unpack it there",
      {"unlabeled", "train", "test", "train+unlabeled"},
      "stl10_binary",
      // The MD5s that users of the set commonly check.
      {{"unlabeled_X.bin", 2764800000, "5242ba1fed5e4be9e1e742405eb56ca4", {"unlabeled", "train+unlabeled"}},
       {"train_X.bin", 138240000, "918c2871b30a85fa023e0c44e0bee87f", {"train", "train+unlabeled"}},
       {"train_y.bin", 5000, "5a34089d4802c674881badbb80307741", {"train"}},
       {"test_X.bin", 221184000, "7f263ba9f9e0b06b93213547f721ac82", {"test"}},
       {"test_y.bin", 8000, "36f9794fa4beb8a2c72628de14fa638e", {"test"}}},
      {kSampleFile}};
  return facts;
}

std::unique_ptr<ImageSource> open_stl10(const std::string& path, Stl10Split split) {
  const bool unlabeled = split == Stl10Split::unlabeled || split == Stl10Split::train_and_unlabeled;
  const std::string labeled = split == Stl10Split::test ? "test_" : split == Stl10Split::unlabeled ? "" : "train_";
  const auto wanted = [&](const std::string& name) {
    return (unlabeled && name.starts_with("unlabeled_")) || (!labeled.empty() && name.starts_with(labeled));
  };
  return std::make_unique<Stl10>(DataFolder(stl10_facts(), path, wanted), split);
}

}  // namespace poise
