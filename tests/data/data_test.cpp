// The CIFAR-10 reader: the bundled sample, the official layout, and all kinds of faulty folders.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>

#include "data/cifar10.h"
#include "tests/support/file_test_tools.h"

namespace poise {
namespace {

using test::expect_error;
using test::TemporaryFolder;
using test::write_bytes;

constexpr size_t kRecord = 3073, kBatch = 30'730'000;
const std::string kSample = std::string(POISE_SOURCE_DIR) + "/data/cifar10_sample";

std::string pixel(const ImageSet& set, int64_t image, int64_t y, int64_t x) {
  const uint8_t* p = set.pixels.data() + ((image * set.height + y) * set.width + x) * set.channels;
  return std::to_string(p[0]) + "," + std::to_string(p[1]) + "," + std::to_string(p[2]);
}

// Record i of a synthetic file: red counts the pixels, green is the record's number, blue is the row.
std::string made_record(int i, int label) {
  std::string record(1, static_cast<char>(label));
  for (int p = 0; p < 1024; ++p) record += static_cast<char>(p);
  record.append(1024, static_cast<char>(i));
  for (int p = 0; p < 1024; ++p) record += static_cast<char>(p / 32);
  return record;
}

// A sparse batch of the official size: ten synthetic records at either end, and zeros between that take no disk space.
void write_batch(const std::string& path) {
  std::string records;
  for (int i = 0; i < 10; ++i) records += made_record(i, i);
  write_bytes(path, records);
  std::filesystem::resize_file(path, kBatch);
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(static_cast<std::streamoff>(kBatch - records.size()));
  file << records;
}

// The official folder with five synthetic batches; the last four are hard links to the first.
void make_official_train(const std::string& folder) {
  std::filesystem::create_directories(folder);
  write_batch(folder + "/data_batch_1.bin");
  for (int b = 2; b <= 5; ++b) {
    std::filesystem::create_hard_link(folder + "/data_batch_1.bin",
                                      folder + "/data_batch_" + std::to_string(b) + ".bin");
  }
}

// Replaces a hard link by a separate file of any size.
void replace_file(const std::string& path, size_t bytes) {
  std::filesystem::remove(path);
  write_bytes(path, "");
  std::filesystem::resize_file(path, bytes);
}

TEST(Cifar10, ReadsTheBundledSample) {
  const ImageSet set = read_cifar10(kSample, CifarSplit::train);
  EXPECT_EQ(set.name, "cifar10_sample");
  EXPECT_EQ(set.source, kSample);
  EXPECT_EQ(set.count, 2000);
  EXPECT_EQ(set.height, 32);
  EXPECT_EQ(set.width, 32);
  EXPECT_EQ(set.channels, 3);
  ASSERT_EQ(set.pixels.size(), 2000u * 3072);
  ASSERT_EQ(set.labels.size(), 2000u);
  ASSERT_EQ(set.class_names.size(), 10u);
  EXPECT_EQ(set.class_names[6], "frog");
  for (int32_t label = 0; label < 10; ++label) EXPECT_EQ(std::count(set.labels.begin(), set.labels.end(), label), 200);

  // Known pixels of the first and the last image; the planes have been interleaved into channels.
  EXPECT_EQ(set.labels[0], 6);  // a frog, the first training image of CIFAR-10
  EXPECT_EQ(pixel(set, 0, 0, 0), "59,62,63");
  EXPECT_EQ(pixel(set, 0, 0, 1), "43,46,45");
  EXPECT_EQ(pixel(set, 0, 1, 0), "16,20,20");
  EXPECT_EQ(pixel(set, 0, 31, 31), "123,92,72");
  EXPECT_EQ(set.labels[1999], 5);
  EXPECT_EQ(pixel(set, 1999, 0, 31), "17,20,27");
  EXPECT_EQ(pixel(set, 1999, 31, 31), "27,53,67");
}

TEST(ImageSet, KeepsClasses) {
  ImageSet set = read_cifar10(POISE_SAMPLE_DATA_DIR, CifarSplit::train);
  const std::string first_frog = pixel(set, 0, 0, 0);
  const uint32_t all = set.crc;
  keep_classes(set, {5, 6});
  EXPECT_EQ(set.count, 400);
  EXPECT_EQ(set.pixels.size(), 400u * 3072);
  EXPECT_EQ(set.class_names, (std::vector<std::string>{"dog", "frog"}));
  EXPECT_EQ(std::count(set.labels.begin(), set.labels.end(), 0), 200);
  EXPECT_EQ(std::count(set.labels.begin(), set.labels.end(), 1), 200);
  EXPECT_EQ(set.labels[0], 1);
  EXPECT_EQ(pixel(set, 0, 0, 0), first_frog);
  EXPECT_EQ(set.labels[399], 0);
  EXPECT_EQ(pixel(set, 399, 31, 31), "27,53,67") << "the last dog";
  EXPECT_EQ(set.crc, crc_of(set));
  EXPECT_NE(set.crc, all);
  set.labels.clear();
  EXPECT_THROW(keep_classes(set, {0}), Error);
}

TEST(Cifar10, ChecksumCoversPixelsAndLabels) {
  std::string bytes = made_record(1, 3) + made_record(2, 4);
  const auto parse = [&bytes] {
    return parse_cifar10({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, "m");
  };
  const ImageSet set = parse();
  uLong crc = crc32(0, set.pixels.data(), static_cast<uInt>(set.pixels.size()));
  crc = crc32(crc, reinterpret_cast<const Bytef*>(set.labels.data()), static_cast<uInt>(set.labels.size() * 4));
  EXPECT_EQ(set.crc, crc);
  bytes[0] = 7;
  const uint32_t other_label = parse().crc;
  bytes[0] = 3, bytes[3000] ^= 1;
  EXPECT_NE(other_label, set.crc);
  EXPECT_NE(parse().crc, set.crc);
}

TEST(Cifar10, ReadsTheOfficialFolderAndTheFolderAroundIt) {
  TemporaryFolder folder;
  make_official_train(folder / "cifar-10-batches-bin");
  write_batch(folder / "cifar-10-batches-bin/test_batch.bin");
  const ImageSet set = read_cifar10(folder.path(), CifarSplit::train);
  EXPECT_EQ(set.name, "cifar10");
  EXPECT_EQ(set.source, folder / "cifar-10-batches-bin");
  EXPECT_EQ(set.count, 50000);
  EXPECT_EQ(set.labels.size(), 50000u);
  EXPECT_EQ(set.pixels.size(), 50000u * 3072);
  EXPECT_EQ(set.labels[49999], 9);
  EXPECT_EQ(pixel(set, 49998, 2, 3), "67,8,2");  // red 2*32+3, green its record, blue its row
  for (const std::string& given :
       {folder.path() + "/", folder / "cifar-10-batches-bin", folder / "cifar-10-batches-bin/"}) {
    EXPECT_EQ(read_cifar10(given, CifarSplit::test).count, 10000);
  }
}

TEST(Cifar10, SaysWhatIsWrongWithTheFolder) {
  TemporaryFolder folder;
  const auto read = [&](const std::string& path, CifarSplit split = CifarSplit::train) {
    return [path, split] { read_cifar10(path, split); };
  };
  expect_error(ErrorKind::data, {folder / "none", "expected a folder, found none", "cifar-10-binary.tar.gz"},
               read(folder / "none"));
  expect_error(ErrorKind::data, {folder.path(), "data_batch_1.bin", "found none", "www.cs.toronto.edu"},
               read(folder.path()));
  write_bytes(folder / "cifar-10-binary.tar.gz", "x");
  expect_error(ErrorKind::data, {"found cifar-10-binary.tar.gz (which --data takes as well)"}, read(folder.path()));
  expect_error(ErrorKind::data, {"expected a folder or an archive, found another file"},
               read(folder / "cifar-10-binary.tar.gz"));
  expect_error(ErrorKind::data, {"cifar-10-binary.tar.gz/inside", "expected a folder, found none"},
               read(folder / "cifar-10-binary.tar.gz/inside"));
  write_bytes(folder / "data_batch_1", "x");
  expect_error(ErrorKind::data, {"found the Python version"}, read(folder.path()));
  expect_error(ErrorKind::data, {"cifar10_sample.bin", "expected test images", "training images only"},
               read(kSample, CifarSplit::test));
}

TEST(Cifar10, SaysWhichFileIsWrong) {
  TemporaryFolder folder;
  make_official_train(folder.path());
  const auto read = [&](CifarSplit split) { return [&folder, split] { read_cifar10(folder.path(), split); }; };
  const auto train = read(CifarSplit::train);
  const std::string fourth = folder / "data_batch_4.bin";

  expect_error(ErrorKind::data, {folder / "test_batch.bin", "expected this file, found none"}, read(CifarSplit::test));
  std::filesystem::remove(fourth);
  expect_error(ErrorKind::data, {fourth, "expected this file, found none", "cifar-10-binary.tar.gz"}, train);
  std::filesystem::create_directory(fourth);
  expect_error(ErrorKind::data, {fourth, "expected a file, found a folder"}, train);
  std::filesystem::remove(fourth);
  ASSERT_EQ(::mkfifo(fourth.c_str(), 0600), 0);  // the reader must not wait for a writer
  expect_error(ErrorKind::data, {fourth, "not a regular file"}, train);
  std::filesystem::remove(fourth);
  std::filesystem::create_symlink(fourth, fourth);
  expect_error(ErrorKind::environment, {fourth, "cannot read the file", "symbolic links"}, train);

  replace_file(fourth, 0);
  expect_error(ErrorKind::data, {fourth, "expected 30730000 bytes", "found 0: truncated"}, train);
  replace_file(fourth, kBatch - 1);
  expect_error(ErrorKind::data, {fourth, "found 30729999: truncated"}, train);
  replace_file(fourth, kBatch + 1);
  expect_error(ErrorKind::data, {fourth, "found 30730001: oversized"}, train);

  const auto damage_a_label = [](const std::string& path) {
    std::fstream(path, std::ios::binary | std::ios::in | std::ios::out).seekp(1234 * kRecord).put(10);
  };
  replace_file(fourth, kBatch);
  damage_a_label(fourth);
  expect_error(ErrorKind::data, {fourth, "expected labels 0 to 9, found 10 in record 1234 (byte 3792082)"}, train);

  // Missing files are reported before the damaged label of the first file.
  damage_a_label(folder / "data_batch_1.bin");
  std::filesystem::remove(folder / "data_batch_5.bin");
  expect_error(ErrorKind::data, {folder / "data_batch_5.bin"}, train);
}

TEST(Cifar10, SaysWhatIsWrongWithASample) {
  TemporaryFolder folder;
  const std::string path = folder / "cifar10_sample.bin";
  const auto read = [&] { read_cifar10(folder.path(), CifarSplit::train); };
  write_bytes(path, "");
  expect_error(ErrorKind::data, {path, "expected 1 to 50000 whole records of 3073 bytes, found 0 bytes"}, read);
  write_bytes(path, std::string(3 * kRecord + 5, '\0'));
  expect_error(ErrorKind::data, {path, "found 9224 bytes"}, read);
  std::filesystem::resize_file(path, kRecord * 50001);  // sparse: must be refused by its size
  expect_error(ErrorKind::data, {path, "found 153653073 bytes"}, read);
  write_bytes(path, made_record(0, 255));
  expect_error(ErrorKind::data, {path, "found 255 in record 0 (byte 0)"}, read);
  write_bytes(path, made_record(0, 9));
  EXPECT_EQ(read_cifar10(folder.path(), CifarSplit::train).count, 1);
}

TEST(Cifar10, UnreadableFile) {
  if (::geteuid() == 0) GTEST_SKIP() << "permissions do not bind the superuser";
  TemporaryFolder folder;
  write_bytes(folder / "cifar10_sample.bin", made_record(0, 9));
  std::filesystem::permissions(folder / "cifar10_sample.bin", std::filesystem::perms::none);
  expect_error(ErrorKind::data, {"cifar10_sample.bin", "Permission denied", "permissions"},
               [&] { read_cifar10(folder.path(), CifarSplit::train); });
}

}  // namespace
}  // namespace poise
