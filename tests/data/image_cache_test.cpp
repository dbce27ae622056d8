// The cache of resized images, and the hash that names its files.
#include "data/image_cache.h"

#include <gtest/gtest.h>

#include <chrono>

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
  EXPECT_EQ(decoded, 0);
  EXPECT_NE(notes.find("from the cache"), std::string::npos) << notes;
  EXPECT_EQ(again.pixels, first.pixels);
  EXPECT_EQ(again.crc, first.crc);
  EXPECT_EQ(again.name, "folder");
  EXPECT_EQ(again.source, folder.path());
  read_it(4);
  EXPECT_EQ(decoded, 2) << "another size";
  fs::last_write_time(folder / "a.png", fs::last_write_time(folder / "a.png") + std::chrono::seconds(1));
  read_it();
  EXPECT_EQ(decoded, 2) << "a newer file";
  fs::rename(folder / "b.png", folder / "c.png");
  read_it();
  EXPECT_EQ(decoded, 2) << "another name";

  const auto source = open_image_folder(folder.path());
  const std::string path = cache_path(cache / "new", *source, 8), whole = read_bytes(path);
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    write_bytes(path, at % 2 ? damaged : whole.substr(0, at));
    EXPECT_FALSE(read_cached(path, *source, 8)) << at;
  }
  read_it();
  EXPECT_EQ(decoded, 2) << "a damaged cache";
  EXPECT_EQ(read_bytes(path), whole) << "it was made again";
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
  EXPECT_NE(notes.find("cannot be written"), std::string::npos) << notes;
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
