// The cache of resized images, and the hash used in its file names.
#include "data/image_cache.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "data/image_folder.h"
#include "data/md5.h"
#include "data/registry.h"
#include "tests/support/file_test_tools.h"

namespace poise {
namespace {

namespace fs = std::filesystem;
using test::read_bytes;
using test::TemporaryFolder;
using test::write_bytes;

const std::string kPictures = std::string(POISE_GOLDEN_DIR) + "/pictures";

TEST(ImageCache, IsReadInsteadOfThePicturesUntilAnythingChanges) {
  TemporaryFolder folder, cache;
  fs::copy_file(kPictures + "/rgb.png", folder / "a.png");
  fs::copy_file(kPictures + "/grey.png", folder / "b.png");
  int64_t decoded = 0;
  std::string notes;
  const auto read_it = [&](int64_t size = 8) {
    decoded = 0, notes.clear();
    return read_images("folder", folder.path(),
                       {.image_size = size,
                        .cache_folder = cache / "new",
                        .progress =
                            [&](int64_t done, int64_t total) {
                              decoded = done;
                              EXPECT_EQ(total, 2);
                            },
                        .note = [&](const std::string& text) { notes += text; }});
  };
  const ImageSet first = read_it();
  EXPECT_EQ(decoded, 2);
  EXPECT_NE(notes.find("kept"), std::string::npos) << notes;
  const ImageSet again = read_it();
  EXPECT_NE(notes.find("from the cache"), std::string::npos) << notes;
  EXPECT_EQ(again.pixels, first.pixels);
  EXPECT_EQ(again.crc, first.crc);
  EXPECT_EQ(again.name, "folder");
  EXPECT_EQ(again.source, folder.path());
  read_it(4);
  EXPECT_NE(notes.find("kept"), std::string::npos) << "another size";
  fs::last_write_time(folder / "a.png", fs::last_write_time(folder / "a.png") + std::chrono::seconds(1));
  fs::rename(folder / "b.png", folder / "c.png");
  read_it();
  EXPECT_NE(notes.find("from the cache"), std::string::npos) << "names and times do not matter";
  fs::rename(folder / "c.png", folder / "0.png");
  EXPECT_NE(read_it().pixels, first.pixels);
  EXPECT_NE(notes.find("kept"), std::string::npos) << "another order";
  fs::rename(folder / "0.png", folder / "b.png");

  const auto source = open_image_folder(folder.path());
  const std::string path = cache_path(cache / "new", *source, 8, content_of(*source, {})), whole = read_bytes(path);
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    write_bytes(path, at % 2 ? damaged : whole.substr(0, at));
    EXPECT_FALSE(read_cached(path, *source, 8)) << at;
  }
  read_it();
  EXPECT_NE(notes.find("kept"), std::string::npos) << "a damaged cache";
  EXPECT_EQ(read_bytes(path), whole) << "it was made again";
}

// Two folders with equal names, sizes and times, as after unpacking or copying. Only the bytes of the files differ.
TEST(ImageCache, NeverServesAnotherFoldersPictures) {
  TemporaryFolder a, b, cache;
  const std::string bmp = read_bytes(kPictures + "/rgb.bmp");
  const auto moment = fs::last_write_time(kPictures + "/rgb.bmp");
  for (const TemporaryFolder* folder : {&a, &b}) {
    for (int i = 0; i < 8; ++i) {
      std::string picture = bmp;
      picture[60 + static_cast<size_t>(i)] = folder == &a ? '\1' : '\2';
      const std::string path = *folder / ("p" + std::to_string(i) + ".bmp");
      write_bytes(path, picture);
      fs::last_write_time(path, moment);
    }
  }
  const auto read_it = [&](const TemporaryFolder& folder) {
    return read_images("folder", folder.path(), {.image_size = 16, .cache_folder = cache.path()});
  };
  const ImageSet of_a = read_it(a), of_b = read_it(b);
  EXPECT_NE(of_a.crc, of_b.crc);
  EXPECT_EQ(read_it(a).pixels, of_a.pixels);
  EXPECT_EQ(read_it(b).pixels, of_b.pixels);
  EXPECT_EQ(read_it(b).source, b.path());
  EXPECT_EQ(cache.files().size(), 2u);
}

// Unchanged files are not read again. Any change is detected, even if the modification time is the same.
TEST(ImageCache, KnowsFilesThatHaveNotChanged) {
  TemporaryFolder folder, cache;
  const std::string bmp = read_bytes(kPictures + "/rgb.bmp");
  for (const char* name : {"a.bmp", "b.bmp"}) write_bytes(folder / name, bmp);
  int64_t reads = 0;
  const auto read_it = [&] {
    reads = 0;
    return read_images(
        "folder", folder.path(),
        {.image_size = 16, .cache_folder = cache.path(), .progress = [&](int64_t, int64_t) { ++reads; }});
  };
  const ImageSet first = read_it();
  EXPECT_GT(reads, 0);
  EXPECT_EQ(open_image_folder(folder.path())->stamp(), "") << "written a moment ago";
  std::this_thread::sleep_for(std::chrono::seconds(5));
  EXPECT_NE(open_image_folder(folder.path())->stamp(), "");
  read_it();
  EXPECT_GT(reads, 0) << "once";
  EXPECT_EQ(read_it().pixels, first.pixels);
  EXPECT_EQ(reads, 0);

  const auto moment = fs::last_write_time(folder / "b.bmp");
  std::string other = bmp;
  const size_t middle = other.size() / 2;
  other[middle] = static_cast<char>(other[middle] ^ 64);
  write_bytes(folder / "b.bmp", other);  // same path and size, and the next line restores the time
  fs::last_write_time(folder / "b.bmp", moment);
  EXPECT_NE(read_it().crc, first.crc);
  fs::remove(folder / "b.bmp");
  fs::rename(folder / "a.bmp", folder / "b.bmp");
  write_bytes(folder / "a.bmp", other);
  fs::last_write_time(folder / "a.bmp", moment);
  EXPECT_NE(read_it().crc, first.crc);
}

TEST(ImageCache, LabelsBelongToTheContent) {
  TemporaryFolder folder, cache;
  for (const char* name : {"x", "y"}) {
    fs::create_directory(folder / name);
    fs::copy_file(kPictures + "/rgb.png", folder / name + "/1.png");
  }
  const auto read_it = [&] {
    return read_images("folder", folder.path(), {.image_size = 8, .cache_folder = cache.path()});
  };
  read_it();
  fs::rename(folder / "x", folder / "z");
  EXPECT_EQ(read_it().class_names, (std::vector<std::string>{"y", "z"}));
}

TEST(ImageCache, NoRightToWriteIsNoReasonNotToTrain) {
  TemporaryFolder folder;
  fs::copy_file(kPictures + "/rgb.png", folder / "a.png");
  write_bytes(folder / "file", "");
  std::string notes;
  const ImageSet set =
      read_images("folder", folder.path(),
                  {.image_size = 8, .cache_folder = folder / "file/cache", .note = [&](const std::string& text) {
                     notes += text;
                   }});
  EXPECT_EQ(set.count, 1);
  EXPECT_NE(notes.find("warning"), std::string::npos) << notes;
  EXPECT_NE(notes.find("decoded without the cache"), std::string::npos) << notes;
}

TEST(Md5, KnowsTheWordsOfRfc1321) {
  EXPECT_EQ(md5_of(""), "d41d8cd98f00b204e9800998ecf8427e");
  EXPECT_EQ(md5_of("message digest"), "f96b697d7cb7938d525a2f31aaf161d0");
  const std::string digits = "12345678901234567890123456789012345678901234567890123456789012345678901234567890";
  EXPECT_EQ(md5_of(digits), "57edf4a22be3c955ac49da2e2107b67a");
  for (size_t cut = 0; cut <= digits.size(); ++cut) {  // in two pieces
    Md5 md5;
    for (const std::string& part : {digits.substr(0, cut), digits.substr(cut)}) {
      md5.update({reinterpret_cast<const uint8_t*>(part.data()), part.size()});
    }
    EXPECT_EQ(md5.hex(), "57edf4a22be3c955ac49da2e2107b67a") << cut;
  }
}

}  // namespace
}  // namespace poise
