// Fuzzing of image files: data sets and pictures (fuzzing.h).
#include <cstdio>
#include <filesystem>
#include <span>
#include <stdexcept>

#include "data/cifar10.h"
#include "data/cifar100.h"
#include "data/decode_picture.h"
#include "data/picture_header.h"
#include "data/stl10.h"
#include "data/tiny_imagenet.h"
#include "tests/support/file_test_tools.h"
#include "tests/support/fuzzing.h"
#ifdef POISE_HAVE_LIBARCHIVE
#include "data/archive.h"
#include "tests/support/archive_tools.h"
#endif

namespace poise {
namespace {

using test::Count;
using test::mutate;
using test::try_one;
using test::Xorshift;

// Fuzzes files with records of one size. Half of the inputs are padded to whole records, with bytes below `fill`.
// `check` parses the input and checks the result.
template <class Check>
void fuzz_records(size_t record, const std::vector<std::string>& seeds, uint64_t random_seed, int fill,
                  const Check& check) {
  Xorshift random(test::seed(random_seed));
  Count count;
  const int tries = test::inputs(5'000);
  for (int i = 0; i < tries; ++i) {
    std::string input = mutate(seeds[random.below(seeds.size())], seeds, random);
    if (i % 2 == 0) input.resize((input.size() / record + 1) * record, static_cast<char>(i % fill));
    try_one(ErrorKind::data, count,
            [&] { check(std::span(reinterpret_cast<const uint8_t*>(input.data()), input.size())); });
  }
  EXPECT_GT(count.accepted, 500);
  EXPECT_GT(count.refused, 500);
}

TEST(FuzzImages, Cifar10) {
  constexpr size_t kRecord = 3073;
  std::vector<std::string> seeds = {std::string(kRecord, '\3'), std::string(2 * kRecord, '\0')};
  seeds[1][kRecord] = 9;
  fuzz_records(kRecord, seeds, 0x5eed3, 11, [](std::span<const uint8_t> input) {
    const ImageSet set = parse_cifar10(input, "fuzz");
    ASSERT_EQ(static_cast<size_t>(set.count) * kRecord, input.size());
    ASSERT_EQ(set.pixels.size(), static_cast<size_t>(set.count) * 3072);
    for (int32_t label : set.labels) ASSERT_TRUE(label >= 0 && label < 10);
  });
}

TEST(FuzzImages, Cifar100) {
  constexpr size_t kRecord = 3074;
  const std::vector<std::string> seeds = {std::string(kRecord, '\3'), std::string(2 * kRecord, '\x63')};
  fuzz_records(kRecord, seeds, 0x5eed5, 103, [](std::span<const uint8_t> input) {
    const ImageSet set = parse_cifar100(input, "fuzz");
    ASSERT_EQ(static_cast<size_t>(set.count) * kRecord, input.size());
    for (int32_t label : set.labels) ASSERT_TRUE(label >= 0 && label < 100);
  });
}

TEST(FuzzImages, Stl10) {
  constexpr size_t kImage = 27648;
  test::TemporaryFolder folder;
  const std::vector<std::string> seeds = {std::string(kImage, '\3'), std::string(2 * kImage, '\x63')};
  Xorshift random(test::seed(0x5eed6));
  Count count;
  const int tries = test::inputs(300);
  for (int i = 0; i < tries; ++i) {
    std::string input = mutate(seeds[random.below(seeds.size())], seeds, random);
    if (i % 2 == 0) input.resize((input.size() / kImage + 1) * kImage);
    test::write_bytes(folder / "unlabeled_sample_X.bin", input);
    try_one(ErrorKind::data, count, [&] {
      const auto source = open_stl10(folder.path(), Stl10Split::unlabeled);
      ASSERT_EQ(static_cast<size_t>(source->count) * kImage, input.size());
      ASSERT_EQ(source->picture(source->count - 1).rgb.size(), kImage);
    });
  }
  EXPECT_GT(count.accepted, 30);
  EXPECT_GT(count.refused, 30);
}

TEST(FuzzImages, TinyImagenetTexts) {
  test::TemporaryFolder folder;
  for (const char* name : {"train/n00000001/images", "train/n00000002/images", "val/images"}) {
    std::filesystem::create_directories(folder / name);
  }
  test::write_bytes(folder / "train/n00000001/images/a.JPEG", "a");
  test::write_bytes(folder / "train/n00000002/images/a.JPEG", "a");
  test::write_bytes(folder / "val/images/val_0.JPEG", "a");
  const std::vector<std::string> wnids = {"n00000001\nn00000002\n", "n00000002\r\nn00000001", "\n\nn00000001\n"};
  const std::vector<std::string> words = {"n00000001\tone\nn00000002\ttwo\n", ""};
  const std::vector<std::string> annotations = {"val_0.JPEG\tn00000001\t0\t1\t2\t3\n",
                                                "val_0.JPEG\tn00000002\nval_0.JPEG\tn00000001\t\n"};
  Xorshift random(test::seed(0x5eed7));
  Count count;
  const int tries = test::inputs(600);
  for (int i = 0; i < tries; ++i) {
    const auto text = [&](const std::vector<std::string>& seeds, bool changed) {
      const std::string& seed = seeds[random.below(seeds.size())];
      return changed ? mutate(seed, seeds, random) : seed;
    };
    test::write_bytes(folder / "wnids.txt", text(wnids, i % 3 == 0));
    test::write_bytes(folder / "words.txt", text(words, i % 3 == 1));
    test::write_bytes(folder / "val/val_annotations.txt", text(annotations, i % 3 != 0));
    try_one(ErrorKind::data, count, [&] {
      const auto source = open_tiny_imagenet(folder.path(), i % 2 ? TinyImagenetSplit::train : TinyImagenetSplit::val);
      ASSERT_GT(source->count, 0);
      ASSERT_EQ(source->labels.size(), static_cast<size_t>(source->count));
      for (int32_t label : source->labels) {
        ASSERT_TRUE(label >= 0 && static_cast<size_t>(label) < source->class_names.size());
      }
    });
  }
  EXPECT_GT(count.accepted, 60);
  EXPECT_GT(count.refused, 60);
}

#ifdef POISE_HAVE_LIBARCHIVE
std::string gzipped(const std::string& bytes) {
  std::string out(compressBound(bytes.size()) + 64, '\0');
  z_stream stream{};
  deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

// Recomputes the checksums of tar headers, so that edits pass that check.
void repair_tar(std::string& tar) {
  for (size_t at = 0; at + 512 <= tar.size(); at += 512) {
    if (tar.compare(at + 257, 5, "ustar") != 0) continue;
    unsigned sum = 0;
    for (size_t i = at; i < at + 512; ++i) sum += i >= at + 148 && i < at + 156 ? ' ' : static_cast<uint8_t>(tar[i]);
    std::snprintf(tar.data() + at + 148, 8, "%06o", sum & 0777777);
  }
}

TEST(FuzzImages, Archives) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "input";
  const std::vector<test::ArchiveEntry> entries = {{"set", "", AE_IFDIR, ""},
                                                   {"set/a.bin", std::string(700, 'a')},
                                                   {"set/b/c.txt", "text\n"},
                                                   {std::string(120, 'n'), "a name of a pax header"}};
  std::vector<std::string> seeds;
  for (const auto kind : {test::ArchiveKind::tar, test::ArchiveKind::zip, test::ArchiveKind::tar_gz})
    seeds.push_back(archive_bytes(kind, entries));
  Xorshift random(test::seed(0x5eed9));
  Count count;
  const DataSetFacts facts = {"fuzz", "get it again"};
  const int tries = test::inputs(3'000);
  for (int i = 0; i < tries; ++i) {
    std::string input = mutate(seeds[static_cast<size_t>(i % 3)], seeds, random);
    if (i % 3 == 0 && i % 2 == 0) repair_tar(input);
    if (i % 12 == 0) input = gzipped(input);
    test::write_bytes(path, input);
    try_one(ErrorKind::data, count, [&] {
      const Archive archive(
          facts, path, [](const std::string&) { return true; }, /*large=*/600);
      std::vector<std::string> open = archive.names("");
      while (!open.empty()) {  // all listed names can be read and are inside the archive
        const std::string name = open.back();
        open.pop_back();
        ASSERT_TRUE(!name.empty() && name[0] != '/' && ("/" + name + "/").find("/../") == std::string::npos) << name;
        for (const std::string& inner : archive.names(name)) open.push_back(name + "/" + inner);
        if (!archive.has_file(name)) continue;
        const DataFile file = archive.file(name);
        ASSERT_EQ(file.read_all().size(), static_cast<size_t>(file.size()));
      }
    });
  }
  EXPECT_GT(count.accepted, tries / 20);
  EXPECT_GT(count.refused, tries / 20);
  std::printf("archives: %d accepted, %d refused\n", count.accepted, count.refused);
}
#endif

uint32_t big_endian(const std::string& bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = at; i < at + 4; ++i) value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

// Edits one chunk of a PNG (for pixels, before compression) and recomputes its length and checksum. If edits were made
// anywhere, nineteen in twenty would only reach the check of a length or a checksum.
std::string edited_inside(const std::string& png, Xorshift& random) {
  std::vector<std::string> chunks;  // types and contents; all pixels are in one
  for (size_t at = 8; at + 12 <= png.size(); at += 12 + big_endian(png, at)) {
    const std::string chunk = png.substr(at + 4, 4 + big_endian(png, at));
    if (!chunks.empty() && chunk.starts_with("IDAT") && chunks.back().starts_with("IDAT"))
      chunks.back() += chunk.substr(4);
    else
      chunks.push_back(chunk);
  }
  const size_t chosen = random.below(chunks.size());
  std::string bytes = png.substr(0, 8);
  for (size_t i = 0; i < chunks.size(); ++i) {
    std::string type = chunks[i].substr(0, 4), content = chunks[i].substr(4);
    if (type == "IDAT") {
      std::string raw(size_t{1} << 16, '\0');
      uLongf size = raw.size();
      EXPECT_EQ(uncompress(reinterpret_cast<Bytef*>(raw.data()), &size, reinterpret_cast<const Bytef*>(content.data()),
                           content.size()),
                Z_OK);
      raw.resize(size);
      if (i == chosen) raw = mutate(raw, {raw}, random);
      uLongf packed = compressBound(raw.size());
      content.resize(packed);
      compress(reinterpret_cast<Bytef*>(content.data()), &packed, reinterpret_cast<const Bytef*>(raw.data()),
               raw.size());
      content.resize(packed);
    } else if (i == chosen) {
      content = mutate(content, {content}, random);
    }
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(content.size() >> shift & 0xff);
    bytes += type + content + std::string(4, '\0');
  }
  test::repair_png(bytes);
  return bytes;
}

// Fuzzes with mutations of the golden pictures that begin with `magic`.
void fuzz_pictures(const std::string& magic, uint64_t random_seed) {
  std::vector<std::string> seeds;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(POISE_GOLDEN_DIR) + "/pictures")) {
    seeds.push_back(test::read_bytes(entry.path().string()));
    if (!seeds.back().starts_with(magic)) seeds.pop_back();
  }
  std::sort(seeds.begin(), seeds.end());
  ASSERT_GT(seeds.size(), 2u);
  constexpr int64_t kSmall = int64_t{1} << 16, kLarge = int64_t{1} << 22;  // pixels; large ones are allowed, but slow
  Xorshift random(test::seed(random_seed));
  int decoded = 0, refused = 0;
  const int tries = test::inputs(14'000);
  for (int i = 0; i < tries; ++i) {
    const std::string& whole = seeds[random.below(seeds.size())];
    const bool inside = i % 2 == 0 && whole.starts_with("\x89PNG");
    std::string input = inside ? edited_inside(whole, random) : mutate(whole, seeds, random);
    if (input.starts_with("\x89PNG")) test::repair_png(input);
    if (input.starts_with("\xff\xd8") && i % 2 == 0) input += "\xff\xd9";  // otherwise most would be truncated
    const std::vector<uint8_t> bytes(input.begin(), input.end());          // exact size, so overreads are detected
    try {
      const PictureHeader header = read_picture_header(bytes);
      if (header.height * header.width > (i % 64 == 0 ? kLarge : kSmall)) continue;
      const Picture picture = decode_picture(bytes);
      ++decoded;
      ASSERT_EQ(picture.rgb.size(), static_cast<size_t>(picture.height * picture.width * 3));
      uint8_t small[4 * 4 * 3];
      crop_and_resize(picture, 4, small);
    } catch (const std::runtime_error& refusal) {
      ++refused;
      ASSERT_EQ(std::string_view(refusal.what()).find('\n'), std::string_view::npos) << refusal.what();
    }
  }
  EXPECT_GT(decoded, 1'000);
  EXPECT_GT(refused, 1'000);
  std::printf("pictures: %d decoded, %d refused\n", decoded, refused);
}

TEST(FuzzImages, Png) { fuzz_pictures("\x89PNG", 0x5eed8); }
TEST(FuzzImages, Jpeg) { fuzz_pictures("\xff\xd8", 0x5eed9); }
TEST(FuzzImages, Bmp) { fuzz_pictures("BM", 0x5eedc); }

}  // namespace
}  // namespace poise
