// Data sets by name: synthetic files in the official layouts and, if available on this machine, real ones.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <map>

#include "data/registry.h"
#include "data/stl10.h"
#include "data/tiny_imagenet.h"
#include "data/verify.h"
#include "tests/support/file_test_tools.h"

namespace poise {
namespace {

namespace fs = std::filesystem;
using test::expect_error;
using test::read_bytes;
using test::TemporaryFolder;
using test::write_bytes;

const std::string kPictures = std::string(POISE_GOLDEN_DIR) + "/pictures";

using Colour = std::array<int, 3>;

Colour pixel(const ImageSet& set, int64_t image, int64_t y, int64_t x) {
  const uint8_t* p = set.pixels.data() + ((image * set.height + y) * set.width + x) * set.channels;
  return {p[0], p[1], p[2]};
}

ImageSet read(const std::string& name, const std::string& folder, const std::string& split = "auto", int64_t size = 0) {
  return read_images(name, folder, {.split = split, .image_size = size});
}

// An image of STL-10: red increases to the right, green downwards, blue is the image's number. Planes are column-major.
std::string stl10_image(int number) {
  std::string red, green, blue(96 * 96, static_cast<char>(number));
  for (int x = 0; x < 96; ++x) {
    for (int y = 0; y < 96; ++y) red += static_cast<char>(x), green += static_cast<char>(100 + y);
  }
  return red + green + blue;
}

// A sparse file of the official size that is zero except for its first image and takes no disk space.
void write_sparse(const std::string& path, const std::string& begin, size_t bytes) {
  write_bytes(path, begin);
  fs::resize_file(path, bytes);
}

TEST(Stl10, ImagesAreUprightAndHalvedAsByPillow) {
  TemporaryFolder folder;
  fs::create_directory(folder / "stl10_binary");
  write_bytes(folder / "stl10_binary/unlabeled_sample_X.bin", stl10_image(0) + stl10_image(7));
  const ImageSet full = read("stl10", folder.path(), "unlabeled", 96);
  EXPECT_EQ(full.name, "stl10_sample");
  EXPECT_EQ(full.source, folder / "stl10_binary");
  ASSERT_EQ(full.count, 2);
  EXPECT_TRUE(full.labels.empty());
  EXPECT_TRUE(full.class_names.empty());
  EXPECT_EQ(pixel(full, 1, 0, 0), (Colour{0, 100, 7}));
  EXPECT_EQ(pixel(full, 1, 3, 90), (Colour{90, 103, 7}));
  EXPECT_EQ(pixel(full, 0, 95, 0), (Colour{0, 195, 0}));

  const ImageSet half = read("stl10", folder.path());
  EXPECT_EQ(half.height, 48);
  EXPECT_EQ(half.width, 48);
  // A triangle filter of four pixels: 1/8, 3/8, 3/8, 1/8 of 2i-1 .. 2i+2 is 2i + 1/2, rounded up. Edge: 3/7, 3/7, 1/7.
  EXPECT_EQ(pixel(half, 1, 1, 20), (Colour{41, 103, 7}));
  EXPECT_EQ(pixel(half, 1, 0, 0), (Colour{1, 101, 7}));
}

TEST(Stl10, ReadsTheSplitsWithTheirLabels) {
  TemporaryFolder folder;
  write_sparse(folder / "train_X.bin", stl10_image(3), 138'240'000);
  std::string labels(5000, '\1');
  labels[1] = 10;
  write_bytes(folder / "train_y.bin", labels);
  const ImageSet set = read("stl10", folder.path(), "train", 8);
  EXPECT_EQ(set.name, "stl10");
  EXPECT_EQ(set.count, 5000);
  ASSERT_EQ(set.labels.size(), 5000u);
  EXPECT_EQ(set.labels[0], 0);
  EXPECT_EQ(set.labels[1], 9);
  EXPECT_EQ(set.class_names.at(9), "truck");
  EXPECT_EQ(pixel(set, 0, 0, 0)[2], 3);
  EXPECT_EQ(pixel(set, 1, 0, 0), (Colour{0, 0, 0}));

  write_bytes(folder / "unlabeled_sample_X.bin", stl10_image(9));
  const ImageSet both = read("stl10", folder.path(), "train+unlabeled", 8);
  EXPECT_EQ(both.count, 5001);
  EXPECT_TRUE(both.labels.empty());
  EXPECT_EQ(pixel(both, 5000, 0, 0)[2], 9);
}

TEST(Stl10, SaysWhatIsWrong) {
  TemporaryFolder folder;
  const auto open = [&](Stl10Split split) { return [&folder, split] { open_stl10(folder.path(), split); }; };
  const auto unlabeled = open(Stl10Split::unlabeled), test = open(Stl10Split::test);
  expect_error(ErrorKind::data, {folder / "unlabeled_X.bin", "expected this file, found none", "stl10_binary.tar.gz"},
               unlabeled);
  write_bytes(folder / "unlabeled_sample_X.bin", stl10_image(1) + "x");
  expect_error(ErrorKind::data, {"expected whole images of 27648 bytes, found 27649"}, unlabeled);
  write_bytes(folder / "unlabeled_X.bin", stl10_image(1));
  expect_error(ErrorKind::data, {"expected 2764800000 bytes (100000 records of 27648), found 27648: truncated"},
               unlabeled);
  write_sparse(folder / "test_X.bin", "", 221'184'000);
  expect_error(ErrorKind::data, {folder / "test_y.bin", "expected this file"}, test);
  write_bytes(folder / "test_y.bin", std::string(8001, '\1'));
  expect_error(ErrorKind::data, {"expected 8000 bytes", "oversized"}, test);
  for (const char label : {'\0', '\x0b'}) {
    write_bytes(folder / "test_y.bin", std::string(7999, '\1') + label);
    expect_error(ErrorKind::data, {"expected labels 1 to 10", "at byte 7999", "damaged"}, test);
  }
}

TEST(Cifar100, FineLabelsUprightAndNamed) {
  TemporaryFolder folder;
  fs::create_directory(folder / "cifar-100-binary");
  std::string record = {'\x13', '\x63'};  // coarse 19, fine 99
  for (int plane = 0; plane < 3; ++plane) {
    for (int p = 0; p < 1024; ++p) record += static_cast<char>(plane == 0 ? p % 32 : plane == 1 ? p / 32 : 200);
  }
  const std::string path = folder / "cifar-100-binary/test.bin";
  write_sparse(path, record, 10000 * 3074);
  ImageSet set = read("cifar100", folder.path(), "test");
  EXPECT_EQ(set.name, "cifar100");
  EXPECT_EQ(set.count, 10000);
  EXPECT_EQ(set.height, 32);
  EXPECT_EQ(set.labels[0], 99);
  EXPECT_EQ(set.labels[1], 0);
  EXPECT_EQ(set.class_names.at(99), "99");
  EXPECT_EQ(pixel(set, 0, 2, 5), (Colour{5, 2, 200}));

  std::string names;
  for (int i = 0; i < 100; ++i) names += "name" + std::to_string(i) + "\n";
  write_bytes(folder / "cifar-100-binary/fine_label_names.txt", names + "\n");
  EXPECT_EQ(read("cifar100", folder.path(), "test").class_names.at(99), "name99");
  EXPECT_EQ(read("cifar100", folder.path(), "test", 16).height, 16);

  const auto test = [&] { read("cifar100", folder.path(), "test"); };
  write_bytes(folder / "cifar-100-binary/fine_label_names.txt", "a\nb\n");
  expect_error(ErrorKind::data, {"fine_label_names.txt", "expected 100 names, found 2"}, test);
  record[1] = 100;
  write_sparse(path, record, 10000 * 3074);
  expect_error(ErrorKind::data, {path, "expected labels 0 to 99, found 100 in record 0 (byte 1)"}, test);
  fs::resize_file(path, 10000 * 3074 - 1);
  expect_error(ErrorKind::data, {path, "truncated"}, test);
  expect_error(ErrorKind::data, {"train.bin", "expected this file"}, [&] { read("cifar100", folder.path()); });
}

// Two classes, in the wrong order in wnids.txt, with three training and two validation images.
void make_tiny_imagenet(const TemporaryFolder& folder) {
  write_bytes(folder / "wnids.txt", "n00000002\nn00000001\n");
  write_bytes(folder / "words.txt", "n00000009\tnothing\nn00000002\ttwo, zwei\n");
  for (const char* wnid : {"n00000001", "n00000002"}) {
    fs::create_directories(folder / ("train/" + std::string(wnid) + "/images"));
    write_bytes(folder / ("train/" + std::string(wnid) + "/" + wnid + "_boxes.txt"), "");
  }
  fs::copy_file(kPictures + "/rgb.jpg", folder / "train/n00000002/images/n00000002_0.JPEG");
  fs::copy_file(kPictures + "/grey.jpg", folder / "train/n00000001/images/n00000001_1.JPEG");
  fs::copy_file(kPictures + "/rgb.jpg", folder / "train/n00000001/images/n00000001_0.JPEG");
  fs::create_directories(folder / "val/images");
  write_bytes(
      folder / "val/val_annotations.txt",
      "val_0.JPEG\tn00000002\t0\t0\t9\t9\nval_1.JPEG\tn00000001\t0\t0\t9\t9\nval_9.JPEG\tn00000001\t0\t0\t9\t9\n");
  fs::copy_file(kPictures + "/rgb.jpg", folder / "val/images/val_0.JPEG");
  fs::copy_file(kPictures + "/grey.jpg", folder / "val/images/val_1.JPEG");
}

TEST(TinyImagenet, ClassesAreSortedIdsAndGreyBecomesRgb) {
  TemporaryFolder folder;
  make_tiny_imagenet(folder);
  const ImageSet set = read("tiny-imagenet", folder.path(), "auto", 16);
  ASSERT_EQ(set.count, 3);
  EXPECT_EQ(set.labels, (std::vector<int32_t>{0, 0, 1}));
  EXPECT_EQ(set.class_names, (std::vector<std::string>{"n00000001", "two, zwei"}));
  const Colour red = pixel(set, 0, 2, 2), grey = pixel(set, 1, 2, 2);
  EXPECT_GT(red[0], 240);
  EXPECT_LT(red[1], 16);
  EXPECT_NEAR(grey[0], 76, 16);  // the luma of red
  EXPECT_EQ(grey, (Colour{grey[0], grey[0], grey[0]}));
  EXPECT_GT(pixel(set, 2, 14, 2)[2], 240);  // blue below

  const ImageSet val = read("tiny-imagenet", folder.path(), "val", 16);
  EXPECT_EQ(val.labels, (std::vector<int32_t>{1, 0}));
  EXPECT_GT(pixel(val, 0, 2, 2)[0], 240);
  EXPECT_EQ(read("tiny-imagenet", folder.path()).height, 64);
  ASSERT_EQ(val.warnings.size(), 1u);
  EXPECT_NE(val.warnings[0].find("names 1 images that are not in val/images (the first is \"val_9.JPEG\"): 2 remain"),
            std::string::npos)
      << val.warnings[0];
  ASSERT_EQ(set.warnings.size(), 1u);
  EXPECT_NE(set.warnings[0].find("997 images fewer than were published, in 2 of 2 classes"), std::string::npos)
      << set.warnings[0];
}

TEST(TinyImagenet, SaysWhatIsWrong) {
  TemporaryFolder folder;
  const auto open = [&](TinyImagenetSplit split) {
    return [&folder, split] { open_tiny_imagenet(folder.path(), split); };
  };
  const auto train = open(TinyImagenetSplit::train), val = open(TinyImagenetSplit::val);
  expect_error(ErrorKind::data, {"wnids.txt", "expected this file", "tiny-imagenet-200.zip"}, train);
  make_tiny_imagenet(folder);
  write_bytes(folder / "val/val_annotations.txt", "val_0.JPEG\tn00000003\t0\n");
  expect_error(ErrorKind::data, {"an id of wnids.txt", "n00000003", "line 1"}, val);
  write_bytes(folder / "val/val_annotations.txt", "../../val_0.JPEG\tn00000001\t0\n");
  expect_error(ErrorKind::data, {"expected a file name"}, val);
  write_bytes(folder / "val/val_annotations.txt", "val_0.JPEG");
  expect_error(ErrorKind::data, {"expected a file name, a tab"}, val);
  write_bytes(folder / "val/val_annotations.txt", "");
  expect_error(ErrorKind::data, {"expected the images it names"}, val);
  fs::remove(folder / "train/n00000002/images/n00000002_0.JPEG");
  expect_error(ErrorKind::data, {"train/n00000002/images", "expected JPEG files, found none"}, train);
  fs::remove_all(folder / "train/n00000002");
  expect_error(ErrorKind::data, {"train/n00000002/images", "expected a folder"}, train);
  for (const auto& [text, part] : std::map<std::string, std::string>{{"n00000001\n../../../x\n", "\"../../../x\""},
                                                                     {"n00000001\nn00000001\n", "n00000001 twice"},
                                                                     {"\n", "found 0"}}) {
    write_bytes(folder / "wnids.txt", text);
    expect_error(ErrorKind::data, {"wnids.txt", part}, train);
  }
}

TEST(ImageFolder, ClassesAreSubfolders) {
  TemporaryFolder folder;
  fs::create_directories(folder / "zebra/deep");
  fs::create_directories(folder / "ant");
  fs::copy_file(kPictures + "/rgb.png", folder / "zebra/deep/1.PNG");
  fs::copy_file(kPictures + "/rgb.bmp", folder / "ant/b.bmp");
  fs::copy_file(kPictures + "/rgb.jpg", folder / "ant/a.png");  // recognised by its bytes, not its name
  write_bytes(folder / "ant/.hidden.png", "x");
  write_bytes(folder / "ant/notes.txt", "x");
  const ImageSet set = read("folder", folder.path(), "auto", 8);
  EXPECT_EQ(set.name, "folder");
  EXPECT_EQ(set.labels, (std::vector<int32_t>{0, 0, 1}));
  EXPECT_EQ(set.class_names, (std::vector<std::string>{"ant", "zebra"}));
  for (int64_t i = 0; i < 3; ++i) {  // 24x16, cut to columns 4 to 19, halved
    EXPECT_NEAR(pixel(set, i, 2, 1)[0], 255, 16);
    EXPECT_NEAR(pixel(set, i, 2, 6)[1], 255, 16);
    EXPECT_NEAR(pixel(set, i, 6, 1)[2], 255, 16);
    EXPECT_NEAR(pixel(set, i, 6, 1)[0], 0, 16);
  }
}

TEST(ImageFolder, WithoutClasses) {
  TemporaryFolder folder;
  for (const char* name : {"rgb.png", "grey.png", "rgb16.png", "cmyk.jpg"})
    fs::copy_file(kPictures + "/" + name, folder / name);
  const ImageSet set = read("folder", folder.path(), "auto", 4);
  EXPECT_EQ(set.count, 4);
  EXPECT_TRUE(set.labels.empty());
  fs::create_directory(folder / "more");
  EXPECT_EQ(read("folder", folder.path(), "auto", 4).count, 4);  // an empty folder is not a class here
  fs::copy_file(kPictures + "/rgb.png", folder / "more/x.png");
  expect_error(ErrorKind::data, {"found 4 in it and 1 in subfolders; move them"},
               [&] { read("folder", folder.path(), "auto", 4); });
}

TEST(ImageFolder, SaysWhichPicturesAreOfNoUse) {
  TemporaryFolder folder;
  const auto read_it = [&] { read("folder", folder.path(), "auto", 4); };
  expect_error(ErrorKind::data, {folder.path(), "found none"}, read_it);
  expect_error(ErrorKind::usage, {"image_size"}, [&] { read("folder", folder.path()); });
  fs::copy_file(kPictures + "/rgb.png", folder / "good.png");
  write_bytes(folder / "a.png", "");
  expect_error(ErrorKind::data, {folder / "a.png", "found an empty file"}, read_it);
  write_bytes(folder / "b.jpg", read_bytes(kPictures + "/rgb.jpg").substr(0, 600));
  write_bytes(folder / "c.jpeg", "<!DOCTYPE html>");
  write_bytes(folder / "d.bmp", read_bytes(kPictures + "/animated.png"));
  expect_error(
      ErrorKind::data,
      {"4 of 5 pictures", folder / "a.png", folder / "b.jpg: truncated JPEG", folder / "c.jpeg", "a web page", ".."},
      read_it);
  for (const char* name : {"a.png", "b.jpg", "c.jpeg", "d.bmp"}) fs::remove(folder / name);
  fs::copy_file(kPictures + "/animated.gif", folder / "e.png");  // recognised by its bytes, not its name
  expect_error(ErrorKind::data, {folder / "e.png", "found a GIF; convert or remove it"}, read_it);
  fs::remove(folder / "e.png");
  write_bytes(folder / "e.tga", "x");
  expect_error(ErrorKind::data, {folder / "e.tga", "found .tga; convert or remove it"}, read_it);
}

TEST(Registry, KnowsNamesAndSplits) {
  EXPECT_EQ(data_set_names(), (std::vector<std::string>{"cifar10", "cifar100", "stl10", "tiny-imagenet", "folder"}));
  const std::string sample = std::string(POISE_SOURCE_DIR) + "/data/cifar10_sample";
  EXPECT_EQ(read("cifar10", sample).count, 2000);
  EXPECT_EQ(read("cifar10", sample, "train", 32).crc, read("cifar10", sample).crc);
  const ImageSet small = read("cifar10", sample, "train", 16);
  EXPECT_EQ(small.pixels.size(), 2000u * 16 * 16 * 3);
  EXPECT_EQ(small.labels, read("cifar10", sample).labels);
  std::string notes;
  const ReadOptions larger{.image_size = 48, .note = [&](const std::string& text) { notes += text; }};
  EXPECT_EQ(read_images("cifar10", sample, larger).width, 48);
  EXPECT_NE(notes.find("32x32; they are enlarged to 48x48"), std::string::npos) << notes;
  expect_error(ErrorKind::usage, {"mnist", "cifar10, cifar100, stl10"}, [&] { read("mnist", sample); });
  expect_error(ErrorKind::usage, {"dataset cifar10 has auto, train, test but got val"},
               [&] { read("cifar10", sample, "val"); });
}

TEST(VerifyData, NamesWhatIsMissingAndWhatIsDamaged) {
  TemporaryFolder folder;
  expect_error(ErrorKind::data, {folder / "none", "expected a folder"},
               [&] { verify_data("stl10", folder / "none", {}); });
  DataVerdict verdict = verify_data("stl10", folder.path(), {});
  EXPECT_FALSE(verdict.good);
  EXPECT_TRUE(verdict.splits.empty());
  std::string text = verdict_text("stl10", verdict);
  for (const char* part : {"missing  unlabeled_X.bin  expected 2764800000 bytes; needed for unlabeled",
                           "https://cs.stanford.edu/~acoates/stl10/", "downloads nothing"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n in " << text;
  }
  write_bytes(folder / "test_y.bin", std::string(8000, '\1'));
  write_bytes(folder / "train_y.bin", std::string(4999, '\1'));
  text = verdict_text("stl10", verify_data("stl10", folder.path(), {}));
  EXPECT_NE(text.find("damaged  test_y.bin  expected md5 36f9794fa4beb8a2c72628de14fa638e, found "), std::string::npos)
      << text;
  EXPECT_NE(text.find("damaged  train_y.bin  expected 5000 bytes, found 4999: truncated"), std::string::npos) << text;

  write_sparse(folder / "train.bin", "", 153'700'000);
  verdict = verify_data("cifar100", folder.path(), {});
  EXPECT_TRUE(verdict.good);
  EXPECT_EQ(verdict.splits, (std::vector<std::string>{"train"}));
  EXPECT_NE(verdict_text("cifar100", verdict).find("no published checksum"), std::string::npos);
}

TEST(VerifyData, DecodesEveryPicture) {
  TemporaryFolder folder;
  make_tiny_imagenet(folder);
  DataVerdict verdict = verify_data("tiny-imagenet", folder.path(), {});
  EXPECT_FALSE(verdict.good);  // there are not 200 classes
  EXPECT_EQ(verdict.summary, "train: 3 of 3 images readable; val: 2 of 2 images readable");
  EXPECT_TRUE(verify_data("folder", folder / "train", {}).good);
  write_bytes(folder / "train/n00000001/images/x.jpg", read_bytes(kPictures + "/rgb.jpg").substr(0, 700));
  verdict = verify_data("folder", folder / "train", {});
  EXPECT_FALSE(verdict.good);
  ASSERT_EQ(verdict.files.size(), 1u);
  EXPECT_NE(verdict.files[0].text.find("x.jpg: truncated JPEG"), std::string::npos) << verdict.files[0].text;
  EXPECT_EQ(verdict.summary, "2 classes, 3 of 4 images readable");
}

// A folder of real files. The repository only contains a sample of CIFAR-10.
std::string real_folder(const char* variable) {
  const char* folder = std::getenv(variable);
  return folder ? folder : "";
}

TEST(RealData, Cifar10IsWhatWasPublished) {
  const std::string folder = real_folder("POISE_CIFAR10");
  if (folder.empty()) GTEST_SKIP() << "set POISE_CIFAR10 to the folder cifar-10-batches-bin";
  const DataVerdict verdict = verify_data("cifar10", folder, {});
  EXPECT_TRUE(verdict.good) << verdict_text("cifar10", verdict);
  EXPECT_EQ(verdict.summary, "complete");
}

TEST(RealData, Stl10) {
  const std::string folder = real_folder("POISE_STL10");
  if (folder.empty()) GTEST_SKIP() << "set POISE_STL10 to a folder with unlabeled_X.bin or unlabeled_sample_X.bin";
  const ImageSet set = read("stl10", folder, "unlabeled", 96);
  EXPECT_GE(set.count, 8);
  EXPECT_EQ(read("stl10", folder, "unlabeled").height, 48);
  if (!fs::is_directory(folder + "/png")) GTEST_SKIP() << "no folder png with the first images as others decoded them";
  const ImageSet pictures = read("folder", folder + "/png", "auto", 96);
  const auto bytes = static_cast<ptrdiff_t>(pictures.pixels.size());
  EXPECT_TRUE(std::equal(pictures.pixels.begin(), pictures.pixels.begin() + bytes, set.pixels.begin()));
  std::printf("%lld images equal their PNGs\n", static_cast<long long>(pictures.count));
}

TEST(RealData, TinyImagenet) {
  const std::string folder = real_folder("POISE_TINY_IMAGENET");
  if (folder.empty()) GTEST_SKIP() << "set POISE_TINY_IMAGENET to the folder tiny-imagenet-200";
  const ImageSet train = read("tiny-imagenet", folder, "train"), val = read("tiny-imagenet", folder, "val");
  ASSERT_EQ(train.class_names.size(), 200u);
  EXPECT_EQ(train.class_names[0], "goldfish, Carassius auratus");  // n01443537
  EXPECT_EQ(train.class_names[199].substr(0, 5), "acorn");         // n12267677
  for (const ImageSet* set : {&train, &val}) {
    std::vector<int64_t> per_class(200);
    for (const int32_t label : set->labels) ++per_class.at(static_cast<size_t>(label));
    EXPECT_EQ(*std::min_element(per_class.begin(), per_class.end()),
              *std::max_element(per_class.begin(), per_class.end()));
    EXPECT_EQ(set->count, per_class[0] * 200);
  }
}

}  // namespace
}  // namespace poise
