// Data sets as published archives: an archive gives the same images as the unpacked folder, and hostile archives are
// refused.
#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "data/archive.h"
#include "data/registry.h"
#include "data/verify.h"

#ifdef POISE_HAVE_LIBARCHIVE
#include "kernels/core/parallel.h"
#include "tests/support/archive_tools.h"
#include "tests/support/fuzzing.h"

namespace poise {
namespace {

namespace fs = std::filesystem;
using test::archive_bytes;
using test::ArchiveEntry;
using test::ArchiveKind;
using test::expect_error;
using test::TemporaryFolder;
using test::write_bytes;

const DataSetFacts kFacts = {"made-up", "get it where it was published"};

bool all(const std::string&) { return true; }

std::string noise(size_t bytes, uint64_t seed) {
  test::Xorshift random(seed);
  std::string text(bytes, '\0');
  for (size_t i = 0; i + 8 <= bytes; i += 8) {
    const uint64_t word = random.next();
    std::memcpy(text.data() + i, &word, 8);
  }
  return text;
}

// Reads the set from `folder` and from an archive that contains this folder under the name `official`.
void expect_same_images(const std::string& name, const std::string& folder, const std::string& official,
                        const std::string& split, ArchiveKind kind) {
  const TemporaryFolder place;
  const std::string archive = place / (kind == ArchiveKind::zip ? "set.zip" : "set.tar.gz");
  write_bytes(archive, archive_bytes(kind, test::entries_of_folder(folder, official)));
  EXPECT_EQ(data_set_in(archive), name);
  const ReadOptions options{.split = split, .image_size = 16};
  const ImageSet unpacked = read_images(name, folder, options), packed = read_images(name, archive, options);
  EXPECT_EQ(packed.crc, unpacked.crc) << name;
  EXPECT_EQ(packed.labels, unpacked.labels);
  EXPECT_EQ(packed.class_names, unpacked.class_names);
  EXPECT_TRUE(packed.pixels == unpacked.pixels);
  EXPECT_EQ(packed.source, archive + "/" + official);
}

TEST(Archive, Cifar10GivesTheImagesOfItsFolder) {
  const TemporaryFolder folder;
  std::string records = noise(30'730'000, 1);
  for (size_t at = 0; at < records.size(); at += 3073) records[at] = static_cast<char>(at % 10);
  write_bytes(folder / "test_batch.bin", records);
  write_bytes(folder / "readme.html", "<html>");
  expect_same_images("cifar10", folder.path(), "cifar-10-batches-bin", "test", ArchiveKind::tar_gz);
}

TEST(Archive, Cifar100GivesTheImagesOfItsFolder) {
  const TemporaryFolder folder;
  std::string records(30'740'000, '\7');
  for (size_t at = 0; at < records.size(); at += 3074) records[at + 1] = static_cast<char>(at % 100);
  write_bytes(folder / "test.bin", records);
  std::string names;
  for (int i = 0; i < 100; ++i) names += "name" + std::to_string(i) + "\n";
  write_bytes(folder / "fine_label_names.txt", names);
  expect_same_images("cifar100", folder.path(), "cifar-100-binary", "test", ArchiveKind::tar_gz);
}

TEST(Archive, Stl10GivesTheImagesOfItsFolder) {
  const TemporaryFolder folder;
  write_bytes(folder / "unlabeled_sample_X.bin", noise(20 * 27'648, 2));
  write_bytes(folder / "class_names.txt", "airplane\n");
  expect_same_images("stl10", folder.path(), "stl10_binary", "unlabeled", ArchiveKind::tar_gz);
}

TEST(Archive, TinyImagenetGivesTheImagesOfItsFolder) {
  const TemporaryFolder folder;
  const std::string pictures = std::string(POISE_GOLDEN_DIR) + "/pictures/";
  std::vector<std::string> jpegs;
  for (const auto& entry : fs::directory_iterator(pictures))
    if (entry.path().extension() == ".jpg") jpegs.push_back(entry.path().string());
  std::sort(jpegs.begin(), jpegs.end());
  ASSERT_GT(jpegs.size(), 1u);
  write_bytes(folder / "wnids.txt", "n00000002\nn00000001\n");
  write_bytes(folder / "words.txt", "n00000001\tgoldfish\n");
  fs::create_directories(folder / "val/images");
  write_bytes(folder / "val/val_annotations.txt", "val_0.JPEG\tn00000002\t0\t0\t1\t1\n");
  write_bytes(folder / "val/images/val_0.JPEG", test::read_bytes(jpegs[0]));
  for (const std::string wnid : {"n00000001", "n00000002"}) {
    const std::string images = folder / ("train/" + wnid + "/images");
    fs::create_directories(images);
    for (int i = 0; i < 3; ++i) {
      write_bytes(images + "/" + wnid + "_" + std::to_string(i) + ".JPEG",
                  test::read_bytes(jpegs[static_cast<size_t>(i) % jpegs.size()]));
    }
  }
  for (const char* split : {"train", "val"})
    expect_same_images("tiny-imagenet", folder.path(), "tiny-imagenet-200", split, ArchiveKind::zip);
}

TEST(Archive, IsVerifiedAsItIs) {
  const TemporaryFolder folder;
  const std::string archive = folder / "set.tar.gz";
  write_bytes(archive, archive_bytes(ArchiveKind::tar_gz, {{"stl10_binary/train_y.bin", std::string(5000, '\1')},
                                                           {"stl10_binary/test_y.bin", "short"}}));
  const DataVerdict verdict = verify_data("stl10", archive, {});
  EXPECT_FALSE(verdict.good);
  const std::string text = verdict_text("stl10", verdict);
  EXPECT_NE(text.find("expected md5 5a34089d4802c674881badbb80307741"), std::string::npos) << text;
  EXPECT_NE(text.find("expected 8000 bytes, found 5"), std::string::npos) << text;
}

// Large files are streamed: reads in any order, from many threads, and from the beginning again.
TEST(Archive, LargeFilesAreReadFromAnywhere) {
  const TemporaryFolder folder;
  const std::string path = folder / "large.tar.gz", bytes = noise(80 << 20, 3);
  write_bytes(path, archive_bytes(ArchiveKind::tar_gz, {{"a", "first"}, {"large", bytes}, {"z", "last"}}));
  const Archive archive(kFacts, path, all, /*large=*/1 << 20);
  const DataFile file = archive.file("large");
  ASSERT_EQ(file.size(), static_cast<int64_t>(bytes.size()));
  const auto expect = [&](int64_t at, int64_t size) {
    std::vector<uint8_t> piece(static_cast<size_t>(size));
    file.read(at, piece);
    EXPECT_EQ(std::memcmp(piece.data(), bytes.data() + at, piece.size()), 0) << "at " << at;
  };
  constexpr int64_t kPiece = 100'000, kPieces = 140;  // per round, like pictures (image_source.cpp)
  for (int64_t round = 0; (round + kPieces) * kPiece <= file.size(); round += kPieces) {
    parallel_chunks(kPieces, 8, [&](int64_t begin, int64_t end) {
      for (int64_t i = round + begin; i < round + end; ++i) expect(i * kPiece, kPiece);
    });
  }
  expect(file.size() - 10, 10);
  expect(0, 5 << 20);
  EXPECT_EQ(archive.file("z").read_all(), (std::vector<uint8_t>{'l', 'a', 's', 't'}));
}

TEST(Archive, ListsItsFolders) {
  const TemporaryFolder folder;
  const std::string path = folder / "set.zip";
  write_bytes(path, archive_bytes(ArchiveKind::zip, {{"./b/c/d.txt", "1"}, {"b/a.txt", "2"}, {"e", "", AE_IFDIR, ""}}));
  const Archive archive(kFacts, path, [](const std::string& name) { return name == "b/a.txt"; });
  EXPECT_EQ(archive.names(""), (std::vector<std::string>{"b", "e"}));
  EXPECT_EQ(archive.names("b"), (std::vector<std::string>{"a.txt", "c"}));
  EXPECT_TRUE(archive.has_folder("b/c"));
  EXPECT_FALSE(archive.has_file("b/c"));
  EXPECT_EQ(archive.file("b/a.txt").size(), 1);
  expect_error(ErrorKind::data, {path + "/b/x", "found none"}, [&] { archive.file("b/x"); });
}

TEST(Archive, HostileOnesAreRefused) {
  const TemporaryFolder folder;
  const std::string path = folder / "bad";
  const auto refused = [&](ArchiveKind kind, const std::vector<ArchiveEntry>& entries, const std::string& why) {
    SCOPED_TRACE(entries.back().path.substr(0, 20) + ": " + why);
    write_bytes(path, archive_bytes(kind, entries));
    expect_error(ErrorKind::data, {path, why, "get it where it was published"}, [&] { Archive(kFacts, path, all); });
  };
  for (const ArchiveKind kind : {ArchiveKind::tar, ArchiveKind::zip}) {
    refused(kind, {{"/etc/passwd", "x"}}, "the path \"/etc/passwd\"");
    refused(kind, {{"a/../../b", "x"}}, "the path");
    refused(kind, {{"..", "x"}}, "the path");
    refused(kind, {{"a//b", "x"}}, "the path");
    refused(kind, {{"a\nb", "x"}}, "the path \"a?b\"");
    refused(kind, {{std::string(2000, 'a'), "x"}}, "the path");
    refused(kind, {{"a", "x"}, {"a", "y"}}, "the path \"a\" twice");
    refused(kind, {{"a", "x"}, {"a/b", "y"}}, "a file and a folder");
    refused(kind, {{"a", "", AE_IFLNK, "/etc/passwd"}}, "a link or a device");
  }
  refused(ArchiveKind::tar, {{"a\\b", "x"}}, "the path");  // in a zip file, a backslash stands for a slash
  refused(ArchiveKind::tar, {{"a", "x"}, {"b", "", AE_IFREG, "a"}}, "a link or a device");
  refused(ArchiveKind::tar, {{"a", "", AE_IFIFO, ""}}, "a link or a device");
  refused(ArchiveKind::tar, {{"a", "", AE_IFCHR, ""}}, "a link or a device");
  for (const ArchiveKind kind : {ArchiveKind::tar_gz, ArchiveKind::zip}) {
    refused(kind, {{"zeros", std::string(100 << 20, '\0')}}, "bytes in a file of");
  }
  // A file that claims a size of 1 TiB.
  std::string huge = archive_bytes(ArchiveKind::tar, {{"a", "x"}});
  huge.replace(124, 12, std::string("\x80\0\0\0\0\0\1\0\0\0\0\0", 12));
  int sum = 0;
  for (size_t i = 0; i < 512; ++i) sum += i >= 148 && i < 156 ? ' ' : static_cast<uint8_t>(huge[i]);
  std::snprintf(huge.data() + 148, 8, "%06o", static_cast<unsigned>(sum));
  write_bytes(path, huge);
  expect_error(ErrorKind::data, {path, "more than 17179869184 bytes"}, [&] { Archive(kFacts, path, all); });
}

TEST(Archive, DamageIsNamed) {
  const TemporaryFolder folder;
  const std::string path = folder / "cut.tar.gz";
  const std::string whole = archive_bytes(ArchiveKind::tar_gz, {{"a", noise(200'000, 4)}});
  write_bytes(path, whole.substr(0, whole.size() / 2));
  expect_error(ErrorKind::data, {path, "damaged"}, [&] { Archive(kFacts, path, all); });
  write_bytes(path, "\x1f\x8b and then nothing of the kind");
  expect_error(ErrorKind::data, {path, "damaged"}, [&] { Archive(kFacts, path, all); });
  EXPECT_TRUE(is_archive(path));
  write_bytes(path, "text");
  EXPECT_FALSE(is_archive(path));
  EXPECT_EQ(data_set_in(path), "");
  write_bytes(path, archive_bytes(ArchiveKind::zip, {{"holiday/1.jpg", "x"}}));
  EXPECT_EQ(data_set_in(path), "");
  write_bytes(path, "text");
  expect_error(ErrorKind::data, {path, "expected a folder or an archive"}, [&] { read_images("cifar10", path, {}); });
}

}  // namespace
}  // namespace poise
#endif
