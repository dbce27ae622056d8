// Fuzzing of tensors, checkpoints, arrays and logs (fuzzing.h). Accepted input can be written again and reads back
// unchanged.
#include <zlib.h>

#include <cstdio>
#include <cstring>

#include "engine/io/checkpoint.h"
#include "engine/io/event_file.h"
#include "engine/io/jsonl.h"
#include "engine/io/npz.h"
#include "engine/io/safetensors.h"
#include "tests/support/file_test_tools.h"
#include "tests/support/fuzzing.h"
#include "tests/support/zip64.h"

namespace poise {
namespace {

using test::Count;
using test::inputs;
using test::mutate;
using test::seed;
using test::try_one;
using test::Xorshift;

constexpr int kInputs = 100'000;  // mutated safetensors files, and as many generated ones

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

// Every view is within the file and has the size of its shape, and everything reads back after being written again.
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

// A well-formed header for up to 40 bytes of data whose numbers are nearly right. This includes overlaps and holes,
// which random edits rarely produce.
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
  for (const std::string& each : seeds) check_accepted(parse(each));
  Xorshift random(seed(0x5eed1));
  Count mutated, generated;
  const int tries = inputs(kInputs);
  for (int i = 0; i < tries && !HasFatalFailure(); ++i) {
    std::string input = mutate(seeds[random.below(seeds.size())], seeds, random);
    // Most edits invalidate the header's length. In every second input it is set to the position of the last }, so that
    // the edit reaches the later checks.
    const size_t brace = input.rfind('}');
    if (i % 2 == 0 && brace != std::string::npos && brace >= 8) {
      const uint64_t length = brace + 1 - 8;
      std::memcpy(input.data(), &length, 8);
    }
    // An unsupported dtype or a Git LFS pointer is not damage.
    try_one({ErrorKind::checkpoint, ErrorKind::environment}, mutated, [&] { check_accepted(parse(input)); });
    try_one(ErrorKind::checkpoint, generated, [&] { check_accepted(parse(nearly_right_layout(random))); });
  }
  for (const Count& count : {mutated, generated}) {
    EXPECT_GT(count.accepted, 1000);
    EXPECT_GT(count.refused, tries / 2);
    EXPECT_EQ(count.accepted + count.refused, tries);
  }
  std::printf("mutated: %d accepted, %d refused; generated: %d accepted, %d refused\n", mutated.accepted,
              mutated.refused, generated.accepted, generated.refused);
}

TEST(FuzzParsers, CheckpointsAreAcceptedOnlyUnchanged) {
  test::TemporaryFolder folder;
  const float values[] = {1, 2, 3, 4, 5, 6};
  const std::vector<TensorBytes> tensors = {{"w", DType::f32, {2, 3}, values}};
  const std::string whole = test::read_bytes(CheckpointStore(folder.path(), 1).save(10, tensors, {{"seed", "1"}}));
  Xorshift random(seed(0x5eed2));
  Count count;
  const int tries = inputs(10'000);
  for (int i = 0; i < tries; ++i) {
    const std::string input = mutate(whole, {whole}, random);
    try_one({ErrorKind::checkpoint, ErrorKind::environment}, count, [&] {
      CheckpointStore::verify(parse(input));
      ASSERT_EQ(input, whole);
    });
  }
  EXPECT_GT(count.accepted, 0);  // edits that change nothing
  EXPECT_GT(count.refused, tries * 9 / 10);
}

// Accepted files unpack to arrays with as many values as their shapes say.
void check_accepted(const NpzFile& file, Count& arrays) {
  for (const std::string& name : file.names()) {
    try_one(ErrorKind::data, arrays, [&] {
      const NpyArray array = file.array(name);
      size_t count = 1;
      for (const int64_t size : array.shape) count *= static_cast<size_t>(size);
      ASSERT_TRUE(array.values.size() == count || (array.shape.empty() && array.values.empty()));
    });
  }
}

// An archive with one stored array and correct checksums, so that edits of the array reach the array parser.
std::string archive_of(const std::string& member) {
  const std::string name = "x.npy";
  const auto crc = static_cast<uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(member.data()), member.size()));
  std::string common("\x14\0\0\0\0\0\0\0\x21\0", 10);
  for (const uint32_t number : {crc, static_cast<uint32_t>(member.size()), static_cast<uint32_t>(member.size()), 5u}) {
    common.append(reinterpret_cast<const char*>(&number), 4);
  }
  const std::string local = "PK\x03\x04" + common + name + member;
  const std::string entry = std::string("PK\x01\x02\x14\0", 6) + common + std::string(14, '\0') + name;
  std::string end("PK\x05\x06\0\0\0\0\1\0\1\0", 12);
  for (const auto number : {static_cast<uint32_t>(entry.size()), static_cast<uint32_t>(local.size())}) {
    end.append(reinterpret_cast<const char*>(&number), 4);
  }
  end += std::string(2, '\0');
  return local + entry + end;
}

TEST(FuzzParsers, Npz) {
  std::vector<std::string> seeds = {test::read_bytes(POISE_GOLDEN_DIR "/variants.npz")};
  std::vector<std::string> members;
  for (const char* header : {"{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }\n",
                             "{'descr': '>f4', 'fortran_order': True, 'shape': (2, 3), }",
                             "{'descr': '|S3', 'fortran_order': False, 'shape': (), }"}) {
    const std::string text = header;
    members.push_back(std::string("\x93NUMPY\x01\0", 8) + static_cast<char>(text.size()) + std::string(1, '\0') + text);
  }
  members[0] += std::string(16, '\1'), members[1] += std::string(24, '\2'), members[2] += "abc";
  for (const std::string& member : members) seeds.push_back(archive_of(member));
  seeds.push_back(test::as_zip64(seeds[1]));
  Xorshift random(seed(0x5eed5));
  Count archives, arrays, checked;
  const int tries = inputs(kInputs / 2);
  const auto try_archive = [&](const std::string& input, Count& of_arrays) {
    try_one(ErrorKind::data, archives, [&] {
      const auto* first = reinterpret_cast<const std::byte*>(input.data());
      check_accepted(NpzFile::parse(std::vector<std::byte>(first, first + input.size()), "fuzz"), of_arrays);
    });
  };
  for (const std::string& each : seeds) try_archive(each, arrays);
  ASSERT_EQ(archives.accepted, 5);
  for (int i = 0; i < tries && !HasFatalFailure(); ++i) {
    try_archive(mutate(seeds[random.below(seeds.size())], seeds, random), arrays);
    try_archive(archive_of(mutate(members[random.below(members.size())], members, random)), checked);
  }
  EXPECT_GT(archives.accepted, 1000);
  EXPECT_GT(archives.refused, 1000);
  for (const Count& count : {arrays, checked}) {
    EXPECT_GT(count.accepted, 1000);
    EXPECT_GT(count.refused, 1000);
  }
}

TEST(FuzzParsers, Jsonl) {
  std::string log;
  for (int64_t i = 1; i <= 5; ++i)
    log += json_line({{"iteration", i}, {"loss", 0.5}, {"note", std::string("\"\\")}}) + "\n";
  const std::vector<std::string> seeds = {log, "{\"iteration\": 1}\n", "{\"a\": {\"iteration\": 2}, \"iteration\": 3}"};
  Xorshift random(seed(0x5eed4));
  size_t kept_something = 0;
  const int tries = inputs(10'000);
  for (int i = 0; i < tries; ++i) {
    const std::string kept = keep_jsonl_up_to(mutate(seeds[random.below(seeds.size())], seeds, random), "iteration", 4);
    ASSERT_EQ(keep_jsonl_up_to(kept, "iteration", 4), kept);  // the kept part is complete and valid
    kept_something += !kept.empty();
  }
  EXPECT_GT(kept_something, 1000u);
}

TEST(FuzzParsers, EventFiles) {
  const test::TemporaryFolder folder;
  {
    EventFile file(folder / "events");
    for (int64_t step = 1; step <= 300; step += 100) {
      file.scalars(step, {{"loss", 0.5}});
      file.shares(step, "density", std::vector<double>{0.1, 1}, 2);
    }
  }
  const std::vector<std::string> seeds = {test::read_bytes(folder / "events"), std::string(24, '\0')};
  const size_t all = keep_events_up_to(seeds[0], 400).size(), some = keep_events_up_to(seeds[0], 200).size();
  ASSERT_EQ(all, seeds[0].size());
  ASSERT_LT(some, all);
  Xorshift random(seed(0x5eed6));
  size_t kept_something = 0;
  const int tries = inputs(10'000);
  for (int i = 0; i < tries; ++i) {
    const std::string kept = keep_events_up_to(mutate(seeds[random.below(2)], seeds, random), 200);
    ASSERT_EQ(keep_events_up_to(kept, 200), kept);  // the kept part is complete
    kept_something += !kept.empty();
  }
  EXPECT_GT(kept_something, 1000u);
}

}  // namespace
}  // namespace poise
