// Hostile input: mutated files go through every parser that reads bytes from outside. Built with the address and
// undefined-behaviour sanitizers in every preset. Deterministic: the same inputs on every run.
//
// What must hold: nothing but poise::Error leaves a parser, its message is one line, and what is accepted is consistent
// to the last byte: it can be written again and reads back the same.
#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "data/cifar10.h"
#include "data/cifar100.h"
#include "data/decode_picture.h"
#include "data/picture_header.h"
#include "data/stl10.h"
#include "data/tiny_imagenet.h"
#include "engine/io/checkpoint.h"
#include "engine/io/jsonl.h"
#include "engine/io/safetensors.h"
#include "kernels/core/error.h"
#include "tests/file_test_tools.h"

namespace poise {
namespace {

constexpr int kInputs = 100'000;  // mutated safetensors files; as many are generated

class Xorshift {
 public:
  explicit Xorshift(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }
  size_t below(size_t n) { return n == 0 ? 0 : static_cast<size_t>(next() % n); }

 private:
  uint64_t state_;
};

// Pieces that parsers of these formats stumble over.
const std::vector<std::string> kPieces = {"{",
                                          "}",
                                          "[",
                                          "]",
                                          "\"",
                                          ",",
                                          ":",
                                          "\\",
                                          "\\u0000",
                                          "\\ud800",
                                          "\n",
                                          std::string(1, '\0'),
                                          "\xff",
                                          "\xef\xbb\xbf",
                                          "-1",
                                          "-0",
                                          "0",
                                          "1",
                                          "2",
                                          "4",
                                          "8",
                                          "16",
                                          "24",
                                          "1e9",
                                          "1.0",
                                          "9223372036854775807",
                                          "9223372036854775808",
                                          "18446744073709551615",
                                          "18446744073709551616",
                                          "4294967296",
                                          "null",
                                          "true",
                                          "\"F32\"",
                                          "\"U8\"",
                                          "\"BF16\"",
                                          "F64",
                                          "\"shape\"",
                                          "\"dtype\":",
                                          "\"data_offsets\":[0,0]",
                                          "\"__metadata__\":{\"a\":\"b\"},",
                                          ",\"z\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}",
                                          "[[[[[[[[",
                                          "{\"a\":{\"a\":{\"a\":",
                                          "\"header_crc32\":\""};

// One to four random edits of a seed: bits, bytes, pieces, numbers, lost or repeated stretches, parts of another seed.
std::string mutate(std::string bytes, const std::vector<std::string>& seeds, Xorshift& random) {
  for (size_t edits = 1 + random.below(4); edits > 0; --edits) {
    const size_t at = random.below(bytes.size() + 1), length = 1 + random.below(16);
    switch (random.below(9)) {
      case 0:
        if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.below(8)));
        break;
      case 1:
        if (at < bytes.size()) bytes[at] = static_cast<char>(random.next());
        break;
      case 2:
        bytes.insert(at, kPieces[random.below(kPieces.size())]);
        break;
      case 3:
        bytes.replace(at, std::min(length, bytes.size() - at), kPieces[random.below(kPieces.size())]);
        break;
      case 4:
        bytes.erase(at, length);
        break;
      case 5:
        bytes.insert(at, bytes.substr(random.below(bytes.size() + 1), length * 8));
        break;
      case 6:
        bytes.resize(at);
        break;
      case 7: {
        const std::string& other = seeds[random.below(seeds.size())];
        bytes.insert(at, other.substr(random.below(other.size() + 1), length * 8));
        break;
      }
      default: {  // another digit in the place of a digit: numbers that nearly fit
        const size_t digit = bytes.find_first_of("0123456789", at);
        if (digit != std::string::npos) bytes[digit] = static_cast<char>('0' + random.below(10));
      }
    }
  }
  return bytes;
}

struct Count {
  int accepted = 0, refused = 0;
};

// parse() either returns or throws an Error of this kind in one line; anything else fails the test (or, for bad memory
// accesses, ends it).
template <class Parse>
void try_one(ErrorKind kind, Count& count, const Parse& parse) {
  try {
    parse();
    ++count.accepted;
  } catch (const Error& error) {
    ++count.refused;
    if (error.kind() != kind || std::string_view(error.what()).find('\n') != std::string_view::npos) {
      ADD_FAILURE() << "unexpected error: " << error.what();
    }
  }
}

std::string file_bytes(const std::vector<TensorBytes>& tensors, const StringMap& metadata) {
  std::string bytes = safetensors_header(tensors, metadata);
  for (const TensorBytes& t : tensors) {
    if (t.size_bytes() > 0) bytes.append(static_cast<const char*>(t.bytes), t.size_bytes());
  }
  return bytes;
}

SafetensorsFile parse(const std::string& bytes) {
  const auto* first = reinterpret_cast<const std::byte*>(bytes.data());
  return SafetensorsFile::parse(std::vector<std::byte>(first, first + bytes.size()), "fuzz");
}

// Every view lies within the file, has the size of its shape, and all of it survives being written again.
void check_accepted(const SafetensorsFile& file) {
  std::vector<TensorBytes> tensors;
  size_t total = 0;
  for (const std::string& name : file.names()) {
    const TensorView& view = file.at(name);
    tensors.push_back({name, view.dtype, view.shape, view.bytes.data()});
    ASSERT_EQ(tensors.back().size_bytes(), view.bytes.size());
    total += view.bytes.size();
  }
  ASSERT_EQ(total, file.data().size());
  const std::string again = file_bytes(tensors, file.metadata());  // reads every byte of every view
  const SafetensorsFile second = parse(again);
  ASSERT_EQ(second.names(), file.names());
  ASSERT_EQ(second.metadata(), file.metadata());
  ASSERT_TRUE(std::equal(second.data().begin(), second.data().end(), file.data().begin(), file.data().end()));
}

std::vector<std::string> safetensors_seeds() {
  static const float floats[] = {1, 2, 3, 4, 5, 6};
  static const double doubles[] = {0.5, 0.25};
  static const uint8_t bytes[] = {1, 0, 1};
  static const uint64_t words[] = {1, 2};
  return {
      file_bytes({}, {}),
      file_bytes({{"x", DType::u8, {3}, bytes}}, {}),
      file_bytes({{"w", DType::f32, {2, 3}, floats}, {"b", DType::f32, {3}, floats}, {"e", DType::i32, {0}, nullptr}},
                 {{"k", "v"}}),
      file_bytes({{"w", DType::f32, {1, 2, 3}, floats},
                  {"m", DType::u8, {3}, bytes},
                  {"s", DType::f64, {}, doubles},
                  {"u", DType::u64, {2}, words}},
                 {{"format", "poise.checkpoint/1"}, {"step", "10"}, {"note", "a\n\"\\"}}),
  };
}

// A well-formed header whose numbers are nearly right, over up to 40 bytes: what random edits seldom reach, overlaps
// and holes among them.
std::string nearly_right_layout(Xorshift& random) {
  std::vector<std::string> entries;
  size_t offset = 0;
  const auto slip = [&random](size_t value) { return value + (random.below(8) == 0 ? random.below(9) - 4 : 0); };
  for (size_t i = 0, count = 1 + random.below(4); i < count; ++i) {
    const size_t size = random.below(11), begin = slip(offset), end = slip(offset + size);
    const std::string text = "\"" + std::string(1, static_cast<char>('a' + i)) + "\":{\"dtype\":\"U8\",\"shape\":[" +
                             std::to_string(slip(size)) + "],\"data_offsets\":[" + std::to_string(begin) + "," +
                             std::to_string(end) + "]}";
    entries.insert(entries.begin() + static_cast<ptrdiff_t>(random.below(entries.size() + 1)), text);
    offset += size;
  }
  std::string json = "{";
  for (const std::string& entry : entries) json += (json.size() > 1 ? "," : "") + entry;
  json += "}";
  const uint64_t length = json.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + json + std::string(slip(offset) % 64, '\1');
}

TEST(FuzzParsers, Safetensors) {
  const std::vector<std::string> seeds = safetensors_seeds();
  for (const std::string& seed : seeds) check_accepted(parse(seed));
  Xorshift random(0x5eed1);
  Count mutated, generated;
  for (int i = 0; i < kInputs && !HasFatalFailure(); ++i) {
    std::string input = mutate(seeds[random.below(seeds.size())], seeds, random);
    // Most edits make the header's length wrong. In every second input it is put right again, to what the last } says,
    // so that the edit reaches the checks behind it.
    const size_t brace = input.rfind('}');
    if (i % 2 == 0 && brace != std::string::npos && brace >= 8) {
      const uint64_t length = brace + 1 - 8;
      std::memcpy(input.data(), &length, 8);
    }
    try_one(ErrorKind::checkpoint, mutated, [&] { check_accepted(parse(input)); });
    try_one(ErrorKind::checkpoint, generated, [&] { check_accepted(parse(nearly_right_layout(random))); });
  }
  for (const Count& count : {mutated, generated}) {
    EXPECT_GT(count.accepted, 1000);
    EXPECT_GT(count.refused, kInputs / 2);
    EXPECT_EQ(count.accepted + count.refused, kInputs);
  }
  std::printf("mutated: %d accepted, %d refused; generated: %d accepted, %d refused\n", mutated.accepted,
              mutated.refused, generated.accepted, generated.refused);
}

TEST(FuzzParsers, CheckpointsAreAcceptedOnlyUnchanged) {
  test::TemporaryFolder folder;
  const float values[] = {1, 2, 3, 4, 5, 6};
  const std::vector<TensorBytes> tensors = {{"w", DType::f32, {2, 3}, values}};
  const std::string seed = test::read_bytes(CheckpointStore(folder.path(), 1).save(10, tensors, {{"seed", "1"}}));
  Xorshift random(0x5eed2);
  Count count;
  for (int i = 0; i < 10'000; ++i) {
    const std::string input = mutate(seed, {seed}, random);
    try_one(ErrorKind::checkpoint, count, [&] {
      CheckpointStore::verify(parse(input));
      ASSERT_EQ(input, seed);
    });
  }
  EXPECT_GT(count.accepted, 0);  // edits that change nothing
  EXPECT_GT(count.refused, 9'000);
}

TEST(FuzzParsers, Cifar10) {
  constexpr size_t kRecord = 3073;
  std::vector<std::string> seeds = {std::string(kRecord, '\3'), std::string(2 * kRecord, '\0')};
  seeds[1][kRecord] = 9;
  Xorshift random(0x5eed3);
  Count count;
  for (int i = 0; i < 5'000; ++i) {
    std::string input = mutate(seeds[random.below(seeds.size())], seeds, random);
    if (i % 2 == 0) input.resize((input.size() / kRecord + 1) * kRecord, static_cast<char>(i % 11));
    try_one(ErrorKind::data, count, [&] {
      const ImageSet set = parse_cifar10({reinterpret_cast<const uint8_t*>(input.data()), input.size()}, "fuzz");
      ASSERT_EQ(static_cast<size_t>(set.count) * kRecord, input.size());
      ASSERT_EQ(set.pixels.size(), static_cast<size_t>(set.count) * 3072);
      for (int32_t label : set.labels) ASSERT_TRUE(label >= 0 && label < 10);
    });
  }
  EXPECT_GT(count.accepted, 500);
  EXPECT_GT(count.refused, 500);
}

TEST(FuzzParsers, Cifar100) {
  constexpr size_t kRecord = 3074;
  const std::vector<std::string> seeds = {std::string(kRecord, '\3'), std::string(2 * kRecord, '\x63')};
  Xorshift random(0x5eed5);
  Count count;
  for (int i = 0; i < 5'000; ++i) {
    std::string input = mutate(seeds[random.below(seeds.size())], seeds, random);
    if (i % 2 == 0) input.resize((input.size() / kRecord + 1) * kRecord, static_cast<char>(i % 103));
    try_one(ErrorKind::data, count, [&] {
      const ImageSet set = parse_cifar100({reinterpret_cast<const uint8_t*>(input.data()), input.size()}, "fuzz");
      ASSERT_EQ(static_cast<size_t>(set.count) * kRecord, input.size());
      for (int32_t label : set.labels) ASSERT_TRUE(label >= 0 && label < 100);
    });
  }
  EXPECT_GT(count.accepted, 500);
  EXPECT_GT(count.refused, 500);
}

TEST(FuzzParsers, Stl10) {
  constexpr size_t kImage = 27648;
  test::TemporaryFolder folder;
  const std::vector<std::string> seeds = {std::string(kImage, '\3'), std::string(2 * kImage, '\x63')};
  Xorshift random(0x5eed6);
  Count count;
  for (int i = 0; i < 300; ++i) {
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

TEST(FuzzParsers, TinyImagenetTexts) {
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
  Xorshift random(0x5eed7);
  Count count;
  for (int i = 0; i < 600; ++i) {
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

// Every chunk of a PNG gets the checksum that belongs to it, so that edits reach what lies behind that check.
void repair_png(std::string& png) {
  for (size_t at = 8; at + 12 <= png.size();) {
    const auto byte = [&](size_t i) { return static_cast<size_t>(static_cast<uint8_t>(png[i])); };
    const size_t length = byte(at) << 24 | byte(at + 1) << 16 | byte(at + 2) << 8 | byte(at + 3);
    if (length > png.size() - at - 12) return;
    const uLong crc = crc32_z(0, reinterpret_cast<const Bytef*>(png.data()) + at + 4, length + 4);
    for (size_t i = 0; i < 4; ++i) png[at + 8 + length + i] = static_cast<char>(crc >> (24 - 8 * i));
    at += length + 12;
  }
}

TEST(FuzzParsers, Pictures) {
  std::vector<std::string> seeds;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(POISE_GOLDEN_DIR) + "/pictures")) {
    seeds.push_back(test::read_bytes(entry.path().string()));
  }
  std::sort(seeds.begin(), seeds.end());
  ASSERT_GT(seeds.size(), 10u);
  Xorshift random(0x5eed8);
  int decoded = 0, refused = 0;
  for (int i = 0; i < 40'000; ++i) {
    std::string input = mutate(seeds[random.below(seeds.size())], seeds, random);
    if (input.starts_with("\x89PNG")) repair_png(input);
    if (input.starts_with("\xff\xd8") && i % 2 == 0) input += "\xff\xd9";  // else most would be truncated
    const std::vector<uint8_t> bytes(input.begin(), input.end());  // of exactly this size: reading past it shows
    try {
      const PictureHeader header = read_picture_header(bytes);
      if (header.height * header.width > (int64_t{1} << 22)) continue;  // allowed, but not 40,000 times
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
  EXPECT_GT(decoded, 4'000);
  EXPECT_GT(refused, 4'000);
  std::printf("pictures: %d decoded, %d refused\n", decoded, refused);
}

TEST(FuzzParsers, Jsonl) {
  std::string log;
  for (int64_t i = 1; i <= 5; ++i)
    log += json_line({{"iteration", i}, {"loss", 0.5}, {"note", std::string("\"\\")}}) + "\n";
  const std::vector<std::string> seeds = {log, "{\"iteration\": 1}\n", "{\"a\": {\"iteration\": 2}, \"iteration\": 3}"};
  Xorshift random(0x5eed4);
  size_t kept_something = 0;
  for (int i = 0; i < 10'000; ++i) {
    const std::string kept = keep_jsonl_up_to(mutate(seeds[random.below(seeds.size())], seeds, random), "iteration", 4);
    ASSERT_EQ(keep_jsonl_up_to(kept, "iteration", 4), kept);  // what stays is whole and valid
    kept_something += !kept.empty();
  }
  EXPECT_GT(kept_something, 1000u);
}

}  // namespace
}  // namespace poise
