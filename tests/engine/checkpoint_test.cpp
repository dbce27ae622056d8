// safetensors files and the checkpoint folder: round trips, all kinds of damage, and processes killed while saving.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/io/checkpoint.h"
#include "engine/io/safetensors.h"
#include "tests/support/file_test_tools.h"

namespace poise {
namespace {

using test::expect_error;
using test::read_bytes;
using test::TemporaryFolder;
using test::write_bytes;
using Steps = std::vector<int64_t>;

const float kFloats[] = {1.5f, -2, 3, 4, 5, 6};
const double kDouble[] = {0.1};
const uint8_t kBytes[] = {1, 2, 3};
const int32_t kInts[] = {-7, 8};
const uint64_t kWords[] = {~uint64_t{0}};

std::vector<TensorBytes> all_types() {
  return {{"w", DType::f32, {2, 3}, kFloats},   {"alpha", DType::f64, {}, kDouble},
          {"mask", DType::u8, {3}, kBytes},     {"none", DType::f32, {4, 0, 2}, nullptr},
          {"steps", DType::i32, {2, 1}, kInts}, {"seed", DType::u64, {1}, kWords}};
}

SafetensorsFile parse(const std::string& bytes) {
  const auto* first = reinterpret_cast<const std::byte*>(bytes.data());
  return SafetensorsFile::parse(std::vector<std::byte>(first, first + bytes.size()), "m");
}

// A file with this header and number of data bytes.
std::string file_of(const std::string& json, size_t data_bytes) {
  const uint64_t length = json.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + json + std::string(data_bytes, '\1');
}

void expect_refused(const std::string& json, size_t data_bytes, const std::vector<std::string>& parts) {
  SCOPED_TRACE(json.substr(0, 200));
  expect_error(ErrorKind::checkpoint, parts, [&] { parse(file_of(json, data_bytes)); });
}

TEST(Safetensors, RoundTrip) {
  TemporaryFolder folder;
  const StringMap metadata = {{"b", "line\nbreak \"quoted\" \xc3\xa9"}, {"a", ""}};
  write_safetensors(folder / "a.safetensors", all_types(), metadata);
  const SafetensorsFile file = SafetensorsFile::read(folder / "a.safetensors");
  EXPECT_EQ(file.metadata(), metadata);
  EXPECT_EQ(file.header().size() % 8, 0u);
  EXPECT_EQ(file.names(), (std::vector<std::string>{"w", "alpha", "mask", "none", "steps", "seed"}));
  for (const TensorBytes& tensor : all_types()) {
    const TensorView& view = file.at(tensor.name);
    EXPECT_EQ(view.dtype, tensor.dtype);
    EXPECT_EQ(view.shape, tensor.shape);
    ASSERT_EQ(view.bytes.size(), tensor.size_bytes());
    const auto* bytes = static_cast<const std::byte*>(tensor.bytes);
    EXPECT_TRUE(std::equal(view.bytes.begin(), view.bytes.end(), bytes)) << tensor.name;
  }
  EXPECT_EQ(file.find("W"), nullptr);
  expect_error(ErrorKind::checkpoint, {"a.safetensors", "expected a tensor \"W\", found none among 6"},
               [&] { file.at("W"); });
  write_safetensors(folder / "b.safetensors", all_types(), metadata);
  EXPECT_EQ(read_bytes(folder / "a.safetensors"), read_bytes(folder / "b.safetensors"));

  SafetensorsFile moved = parse(read_bytes(folder / "a.safetensors"));
  const SafetensorsFile last = std::move(moved);  // views point into bytes that moved with it
  EXPECT_EQ(std::memcmp(last.at("w").bytes.data(), kFloats, sizeof(kFloats)), 0);
  write_safetensors(folder / "c.safetensors", {}, {});
  EXPECT_TRUE(SafetensorsFile::read(folder / "c.safetensors").names().empty());
}

TEST(Safetensors, KnownBytes) {
  const std::vector<TensorBytes> tensors = {{"x", DType::i32, {2}, kInts}};
  const std::string json = R"({"__metadata__":{"k":"v"},"x":{"dtype":"I32","shape":[2],"data_offsets":[0,8]}})";
  ASSERT_EQ(json.size(), 79u);
  EXPECT_EQ(safetensors_header(tensors, {{"k", "v"}}), std::string("\x50\0\0\0\0\0\0\0", 8) + json + " ");
}

TEST(Safetensors, WriterRefusesWhatItCouldNotReadBack) {
  const TensorBytes x{"x", DType::u8, {3}, kBytes};
  EXPECT_THROW(safetensors_header(std::vector<TensorBytes>{x, x}, {}), Error);
  EXPECT_THROW(safetensors_header(std::vector<TensorBytes>{{"__metadata__", DType::u8, {3}, kBytes}}, {}), Error);
  EXPECT_THROW(safetensors_header(std::vector<TensorBytes>{{"x", DType::u8, {-3}, kBytes}}, {}), Error);
  EXPECT_THROW(safetensors_header(std::vector<TensorBytes>{{"x", DType::u8, {INT64_MAX, 2}, kBytes}}, {}), Error);
  EXPECT_THROW(safetensors_header(std::vector<TensorBytes>{{"\xff", DType::u8, {3}, kBytes}}, {}), Error);
}

TEST(Safetensors, RefusesDamagedLengths) {
  for (const std::string& bytes : {std::string(), std::string("1234567")}) {
    expect_error(ErrorKind::checkpoint, {"m: expected at least 8 bytes"}, [&] { parse(bytes); });
  }
  const auto with_length = [](uint64_t length) {
    return [length] { parse(std::string(reinterpret_cast<const char*>(&length), 8) + "{}      "); };
  };
  for (uint64_t length : {uint64_t{0}, uint64_t{1}, uint64_t{9}, uint64_t{1} << 40, ~uint64_t{0}, ~uint64_t{7}}) {
    expect_error(ErrorKind::checkpoint, {"expected a header of 2 to 8 bytes", std::to_string(length)},
                 with_length(length));
  }
  with_length(8)();
  TemporaryFolder folder;
  expect_error(ErrorKind::checkpoint, {folder / "none", "No such file"},
               [&] { SafetensorsFile::read(folder / "none"); });
  expect_error(ErrorKind::checkpoint, {"found a folder"}, [&] { SafetensorsFile::read(folder.path()); });

  // A header longer than the format's limit of 100 MB, in a (sparse) file that is large enough for it.
  write_bytes(folder / "big", std::string("\x01\xe1\xf5\x05\0\0\0\0", 8) + "{");
  std::filesystem::resize_file(folder / "big", 120'000'000);
  expect_error(ErrorKind::checkpoint, {"expected a header of 2 to 100000000 bytes, found a length of 100000001"},
               [&] { SafetensorsFile::read(folder / "big"); });
}

TEST(Safetensors, RefusesHeadersOutsideTheGrammar) {
  const std::string x = R"("x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
  EXPECT_EQ(parse(file_of("{" + x + "}  ", 8)).names().size(), 1u);
  expect_refused("[]", 0, {"begins with {"});
  expect_refused(" {}", 0, {"begins with {"});
  expect_refused("\xef\xbb\xbf{}", 0, {"begins with {"});
  for (const std::string& json :
       {"{" + x + ",}", "{" + x + "}{}", "{" + x, std::string("{\"\xff\":1}"), "{/**/" + x + "}"}) {
    expect_refused(json, 8, {"not valid JSON at its byte"});
  }
  expect_refused("{" + x + "," + x + "}", 8, {"\"x\" appears twice"});
  expect_refused(R"({"x":1})", 0, {"expected an object with dtype, shape and data_offsets, found a number"});
  expect_refused(R"({"x":{}})", 0, {"tensor \"x\": expected dtype, shape and data_offsets, found only some"});
  expect_refused(R"({"x":{"dtype":"F32","shape":[2]}})", 8, {"found only some"});
  expect_refused(R"({"x":{"dtype":"F32","dtype":"F32"}})", 8, {"found \"dtype\" twice"});
  expect_refused(R"({"x":{"other":1}})", 8, {"once each, found \"other\""});
  // A dtype of the format that Poise does not support is not reported as damage.
  expect_error(ErrorKind::environment, {"expected dtype F32, F64, U8, I32 or U64, found \"BF16\"", "convert"},
               [] { parse(file_of(R"({"x":{"dtype":"BF16"}})", 8)); });
  expect_refused(R"({"x":{"dtype":"BF17"}})", 8, {"expected dtype F32, F64, U8, I32 or U64, found \"BF17\""});
  expect_refused(R"({"x":{"dtype":7}})", 8, {"expected dtype to be a string, found a number"});
  expect_refused(R"({"x":{"shape":2}})", 8, {"expected shape to be an array of non-negative integers"});
  expect_refused(R"({"x":{"shape":[-1]}})", 8, {"found a negative number"});
  expect_refused(R"({"x":{"shape":[1.0]}})", 8, {"found a number with a fraction"});
  expect_refused(R"({"x":{"shape":[18446744073709551616]}})", 8, {"too large"});
  expect_refused(R"({"x":{"shape":[9223372036854775808]}})", 8, {"too large"});
  expect_refused(R"({"x":{"shape":[1e999]}})", 8, {"not valid JSON"});
  expect_refused(R"({"x":{"shape":[null]}})", 8, {"found null"});
  expect_refused(R"({"x":{"shape":[true]}})", 8, {"found a boolean"});
  expect_refused(R"({"x":{"shape":["2"]}})", 8, {"found a string"});
  expect_refused(R"({"x":{"shape":[1)" + std::string(64, '0') + "]}}", 8, {"tensor \"x\""});
  expect_refused(R"({"x":{"shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}})", 8,
                 {"32 dimensions"});
  expect_refused(R"({"x":{"data_offsets":[0]}})", 8, {"expected data_offsets to be two non-negative integers"});
  expect_refused(R"({"x":{"data_offsets":[0,8,8]}})", 8, {"expected data_offsets to be two"});
  expect_refused(R"({"__metadata__":[]})", 0, {"expected __metadata__ to be an object, found an array"});
  expect_refused(R"({"__metadata__":{"a":1}})", 0, {"expected metadata values to be strings, found a number"});
  expect_refused(R"({"__metadata__":{"a":{}}})", 0, {"found an object"});
  expect_refused(R"({"__metadata__":{"a":"1","a":"2"}})", 0, {"metadata key \"a\" appears twice"});
  expect_refused(R"({"__metadata__":{},"__metadata__":{}})", 0, {"\"__metadata__\" appears twice"});
  expect_refused("{\"a\\nb" + std::string(500, 'y') + "\":1}", 0, {"tensor \"a\\x0ab", "...\""});  // one line, cut off
  // Deep nesting is refused at the first misplaced bracket, without using stack.
  for (const std::string& deep :
       {std::string("{\"x\":"), std::string("{\"x\":{\"shape\":["), std::string("{\"__metadata__\":{\"a\":")}) {
    expect_refused(deep + std::string(5'000'000, '['), 0, {"found an array"});
  }
}

TEST(Safetensors, RefusesTensorsThatDoNotCoverTheDataExactlyOnce) {
  const auto u8 = [](const std::string& name, const std::string& shape, const std::string& offsets) {
    return "\"" + name + "\":{\"dtype\":\"U8\",\"shape\":[" + shape + "],\"data_offsets\":[" + offsets + "]}";
  };
  const auto file = [](const std::string& a, const std::string& b) { return "{" + a + "," + b + "}"; };
  const SafetensorsFile swapped = parse(file_of(file(u8("b", "4", "4,8"), u8("a", "4", "0,4")), 8));
  EXPECT_EQ(swapped.names(), (std::vector<std::string>{"a", "b"}));  // in the order of the data
  parse(file_of(file(u8("a", "0", "4,4"), u8("b", "4", "0,4")), 4));

  expect_refused(file(u8("a", "4", "0,4"), u8("b", "4", "2,6")), 6, {"tensor \"b\": overlap, expected to begin at 4"});
  expect_refused(file(u8("a", "4", "0,4"), u8("b", "4", "0,4")), 4, {"overlap"});
  expect_refused(file(u8("a", "4", "0,4"), u8("b", "0", "2,2")), 4, {"overlap"});
  expect_refused(file(u8("a", "4", "0,4"), u8("b", "2", "6,8")), 8, {"tensor \"b\": hole, expected to begin at 4"});
  expect_refused("{" + u8("a", "4", "4,8") + "}", 8, {"hole, expected to begin at 0"});
  expect_refused("{" + u8("a", "4", "0,4") + "}", 8, {"expected the tensors to cover 8 bytes of data, found 4"});
  expect_refused("{}", 1, {"expected the tensors to cover 1 bytes of data, found 0"});
  expect_refused("{" + u8("a", "8", "0,8") + "}", 7, {"expected offsets within the data"});  // truncated
  expect_refused("{" + u8("a", "4", "4,0") + "}", 4, {"expected offsets within the data"});
  expect_refused("{" + u8("a", "5", "0,4") + "}", 4, {"tensor \"a\": expected 5 bytes for U8 [5] at [0,4]"});
  expect_refused("{" + u8("a", "4", "0,18446744073709551615") + "}", 4, {"within the data"});
  expect_refused("{" + u8("a", "4294967296,4294967296", "0,0") + "}", 0, {"expected a size below 2^63"});
  expect_refused("{" + u8("a", "4294967296,2147483648", "0,0") + "}", 0, {"expected a size below 2^63"});
  expect_refused("{" + u8("a", "0,4294967296,4294967296", "0,0") + "}", 0, {"expected a size below 2^63"});
}

std::string save(CheckpointStore& store, int64_t step, float value) {
  const std::vector<float> values(100, value);
  const std::vector<TensorBytes> tensors = {{"w", DType::f32, {100}, values.data()}};
  return store.save(step, tensors, {{"preset", "tiny"}});
}

float value_of(const SafetensorsFile& file) {
  float value = 0;
  std::memcpy(&value, file.at("w").bytes.data(), sizeof value);
  return value;
}

TEST(Checkpoint, RoundTripNamesAndDeterminism) {
  TemporaryFolder folder;
  CheckpointStore store(folder / "run/ckpt", 3), other(folder / "other", 1);
  EXPECT_TRUE(store.list().empty());
  EXPECT_FALSE(std::filesystem::exists(folder / "run"));
  const std::string path = save(store, 10, 1.25f);
  EXPECT_EQ(path, folder / "run/ckpt/step-00000010.safetensors");
  const SafetensorsFile file = CheckpointStore::load(path);
  EXPECT_EQ(value_of(file), 1.25f);
  EXPECT_EQ(file.metadata().at("format"), "poise.checkpoint/1");
  EXPECT_EQ(file.metadata().at("step"), "10");
  EXPECT_EQ(file.metadata().at("preset"), "tiny");
  EXPECT_EQ(file.metadata().at("crc32").size(), 8u);
  EXPECT_EQ(CheckpointStore::verify(file), 10);
  EXPECT_EQ(read_bytes(path), read_bytes(save(other, 10, 1.25f)));
  EXPECT_EQ(save(other, 1234567890, 0), folder / "other/step-1234567890.safetensors");
  EXPECT_EQ(other.list(), Steps{1234567890});

  // All types, and empty tensors, including an empty last one.
  std::vector<TensorBytes> tensors = all_types();
  tensors.push_back({"last", DType::u8, {0}, nullptr});
  EXPECT_EQ(CheckpointStore::load(other.save(1234567891, tensors, {})).names().size(), 7u);
  EXPECT_EQ(CheckpointStore::load(other.save(1234567892, {}, {})).names().size(), 0u);

  EXPECT_THROW(CheckpointStore(folder.path(), 0), Error);
  EXPECT_THROW(store.save(11, {}, {{"crc32", ""}}), Error);
  EXPECT_THROW(store.save(-1, {}, {}), Error);
  write_bytes(folder / "file", "x");
  CheckpointStore below(folder / "file/ckpt", 1);
  expect_error(ErrorKind::runtime, {"file/ckpt", "cannot make the folder", "a part of the path is a file"},
               [&] { save(below, 1, 0); });
}

TEST(Checkpoint, KeepsTheLastOnesAndTheBest) {
  TemporaryFolder folder;
  CheckpointStore store(folder.path(), 2);
  write_bytes(folder / "step-1.safetensors", "not ours: seven digits are missing");
  write_bytes(folder / "notes.txt", "not ours");
  for (int64_t step = 1; step <= 3; ++step) save(store, step * 10, 1);
  EXPECT_EQ(store.list(), (Steps{20, 30}));
  EXPECT_FALSE(store.best());
  store.pin_best(20, 12.5, "fid");
  for (int64_t step = 4; step <= 6; ++step) save(store, step * 10, 1);
  EXPECT_EQ(store.list(), (Steps{20, 50, 60}));
  EXPECT_EQ(read_bytes(folder / "best.json"), "{\"metric\":\"fid\",\"score\":12.5,\"step\":20}\n");
  store.pin_best(50, 10.25, "fid");  // the old best is no longer kept
  EXPECT_EQ(store.list(), (Steps{50, 60}));
  save(store, 70, 1), save(store, 80, 1);
  EXPECT_EQ(store.list(), (Steps{50, 70, 80}));
  const CheckpointStore reopened(folder.path(), 2);
  EXPECT_EQ(reopened.best()->step, 50);
  EXPECT_EQ(reopened.best()->score, 10.25);
  EXPECT_EQ(reopened.best()->metric, "fid");
  EXPECT_TRUE(std::filesystem::exists(folder / "step-1.safetensors"));
  EXPECT_TRUE(std::filesystem::exists(folder / "notes.txt"));

  expect_error(ErrorKind::checkpoint, {"step-00000040", "save it before pinning"},
               [&] { store.pin_best(40, 1, "fid"); });
  expect_error(ErrorKind::runtime, {"expected a finite score"}, [&] { store.pin_best(80, std::nan(""), "fid"); });
  EXPECT_EQ(store.best()->step, 50);
  for (const char* text : {"", "[]", "{}", "{\"step\":1.5,\"score\":1,\"metric\":\"fid\"}", "{\"step\":1"}) {
    write_bytes(folder / "best.json", text);
    expect_error(ErrorKind::checkpoint, {"best.json", "delete the file and pin"}, [&] { store.best(); });
  }
}

TEST(Checkpoint, GoingBackNeverRemovesWhatWasJustSaved) {
  TemporaryFolder folder;
  {
    CheckpointStore first(folder.path(), 3);
    save(first, 10, 1), save(first, 20, 1), save(first, 30, 1), first.pin_best(30, 1, "fid");
  }
  CheckpointStore store(folder.path(), 1);  // continues from 10 without discarding later ones
  save(store, 15, 2);
  EXPECT_EQ(store.list(), (Steps{15, 20, 30}));
  store.discard_after(15);
  EXPECT_EQ(store.list(), Steps{15});
  EXPECT_FALSE(store.best());
  store.discard_after(15);
  EXPECT_EQ(store.newest_valid().step, 15);
}

TEST(Checkpoint, NewestValidSkipsDamagedFilesAndSaysSo) {
  TemporaryFolder folder;
  CheckpointStore store(folder.path(), 9);
  expect_error(ErrorKind::checkpoint, {folder.path(), "found none"}, [&] { store.newest_valid(); });
  for (int64_t step = 1; step <= 5; ++step) save(store, step, static_cast<float>(step));
  EXPECT_EQ(store.newest_valid().step, 5);
  EXPECT_TRUE(store.newest_valid().warnings.empty());

  const std::string whole = read_bytes(store.path_of(5));
  write_bytes(store.path_of(5), whole.substr(0, whole.size() - 100));
  std::string flipped = read_bytes(store.path_of(4));
  flipped[flipped.size() - 7] ^= 4;
  write_bytes(store.path_of(4), flipped);
  const CheckpointStore::Loaded loaded = store.newest_valid();
  EXPECT_EQ(loaded.step, 3);
  EXPECT_EQ(value_of(loaded.file), 3.0f);
  EXPECT_EQ(loaded.path, store.path_of(3));
  ASSERT_EQ(loaded.warnings.size(), 2u);
  EXPECT_NE(loaded.warnings[0].find("step-00000005.safetensors"), std::string::npos) << loaded.warnings[0];
  EXPECT_NE(loaded.warnings[1].find("crc32"), std::string::npos) << loaded.warnings[1];
  expect_error(ErrorKind::checkpoint, {store.path_of(4), "crc32", "damaged"},
               [&] { CheckpointStore::load(store.path_of(4)); });

  write_safetensors(store.path_of(7), {}, {});
  expect_error(ErrorKind::checkpoint, {"expected metadata header_crc32, found none"},
               [&] { CheckpointStore::load(store.path_of(7)); });
  for (int64_t step : {1, 2, 3}) write_bytes(store.path_of(step), "");
  expect_error(ErrorKind::checkpoint, {folder.path(), "6, all damaged", "step-00000007"},
               [&] { store.newest_valid(); });
}

// Intact files, and files that could not be read, do not count as damaged: falling back to an older checkpoint would
// have them removed.
TEST(Checkpoint, OnlyBytesThatAreWrongAreDamage) {
  TemporaryFolder folder;
  CheckpointStore store(folder.path(), 9);
  for (int64_t step = 1; step <= 3; ++step) save(store, step, static_cast<float>(step));
  const Steps all = {1, 2, 3, 4};
  const auto stops_at_4 = [&](const std::vector<std::string>& parts, ErrorKind kind = ErrorKind::environment) {
    expect_error(kind, parts, [&] { store.newest_valid(); });
    EXPECT_EQ(store.list(), all);
  };
  std::filesystem::copy_file(store.path_of(1), store.path_of(4));
  stops_at_4({store.path_of(4), "expected step 4, found 1", "rename it to " + store.path_of(1)}, ErrorKind::checkpoint);

  std::filesystem::remove(store.path_of(4));
  std::filesystem::create_symlink(folder / "elsewhere", store.path_of(4));
  stops_at_4({store.path_of(4), "No such file", "restore it"});

  std::filesystem::remove(store.path_of(4));
  std::filesystem::create_directory(store.path_of(4));
  stops_at_4({store.path_of(4), "found a folder"});

  std::filesystem::remove(store.path_of(4));
  std::string other = read_bytes(store.path_of(3));
  other.replace(other.find("poise.checkpoint/1"), 18, "poise.checkpoint/2");
  const size_t at = other.find("\"header_crc32\":\"") + 16;
  const size_t header = static_cast<size_t>(*reinterpret_cast<const uint64_t*>(other.data())) + 8;
  other.replace(at, 8, "00000000");
  char crc[9];
  std::snprintf(crc, sizeof crc, "%08lx",
                ::crc32(0, reinterpret_cast<const Bytef*>(other.data()), static_cast<uInt>(header)));
  write_bytes(store.path_of(4), other.replace(at, 8, crc));
  stops_at_4({store.path_of(4), "found \"poise.checkpoint/2\"", "another version"});
}

TEST(Checkpoint, EveryFlippedBitAndEveryTruncationIsFound) {
  TemporaryFolder folder;
  CheckpointStore store(folder.path(), 1);
  const uint8_t mask[] = {0, 1, 1};
  const std::vector<TensorBytes> tensors = {{"w", DType::f32, {2, 3}, kFloats}, {"mask", DType::u8, {3}, mask}};
  const std::string whole = read_bytes(store.save(10, tensors, {{"seed", "1"}}));
  EXPECT_EQ(CheckpointStore::verify(parse(whole)), 10);
  const auto accepted = [](const std::string& bytes) {
    try {
      CheckpointStore::verify(parse(bytes));
      return true;
    } catch (const Error&) {
      return false;
    }
  };
  for (size_t i = 0; i < whole.size(); ++i) {
    EXPECT_FALSE(accepted(whole.substr(0, i))) << "truncated to " << i;
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = whole;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
      EXPECT_FALSE(accepted(damaged)) << "byte " << i << " bit " << bit;
    }
  }
}

// A child process saves in an endless loop and is killed at times spread over many saves. The folder always loads, and
// the loaded checkpoint is complete: all values equal the step.
TEST(Checkpoint, AKillAtAnyInstantLeavesALoadableFolder) {
  TemporaryFolder folder;
  {
    CheckpointStore store(folder.path(), 2);
    save(store, 0, 0);
  }
  int64_t last = 0;
  for (int kill_number = 0; kill_number < 40; ++kill_number) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      CheckpointStore store(folder.path(), 2);
      for (int64_t step = last + 1;; ++step) {
        const std::vector<float> values(50'000, static_cast<float>(step));
        const std::vector<TensorBytes> tensors = {{"w", DType::f32, {50'000}, values.data()}};
        store.save(step, tensors, {});
        store.pin_best(step, 1, "fid");
      }
    }
    ::usleep(static_cast<useconds_t>(2000 + kill_number * 1237 % 20000));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);

    const CheckpointStore store(folder.path(), 2);
    const CheckpointStore::Loaded loaded = store.newest_valid();
    EXPECT_TRUE(loaded.warnings.empty());
    EXPECT_GE(loaded.step, last);
    const TensorView& w = loaded.file.at("w");
    for (size_t i = 0; i + 4 <= w.bytes.size(); i += 4) {
      float value = -1;
      std::memcpy(&value, w.bytes.data() + i, 4);
      ASSERT_EQ(value, static_cast<float>(loaded.step));
    }
    if (store.best()) CheckpointStore::load(store.path_of(store.best()->step));
    last = loaded.step;
  }
  EXPECT_GT(last, 0);
  // The next save removes the temporaries and old checkpoints that the killed processes left behind.
  CheckpointStore store(folder.path(), 2);
  save(store, last + 1, 0);
  EXPECT_LE(store.list().size(), 3u);  // the last two and the best
  for (const std::string& name : folder.files()) EXPECT_EQ(name.find(".tmp-"), std::string::npos) << name;
}

}  // namespace
}  // namespace poise
