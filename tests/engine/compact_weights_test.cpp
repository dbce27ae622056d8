// Sparse weights without their zeros: files are small and read back unchanged, and hostile files are refused.
#include "engine/sparse/compact_weights.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>

#include "tests/support/file_test_tools.h"

namespace poise {
namespace {

using test::expect_error;
using test::TemporaryFolder;

NamedWeights weights(const std::string& name, const std::vector<int64_t>& shape, int every) {
  NamedWeights tensor{.name = name, .shape = shape};
  int64_t count = 1;
  for (const int64_t d : shape) count *= d;
  for (int64_t i = 0; i < count; ++i) tensor.values.push_back(i % every == 0 ? static_cast<float>(i + 1) : 0.0f);
  return tensor;
}

// Zero except for two 2x2 blocks (output block, tap, input block).
NamedWeights blocks() {
  NamedWeights tensor{.name = "b", .shape = {4, 3, 3, 6}, .values = std::vector<float>(4 * 9 * 6)};
  for (const auto& [ob, tap, ib] : {std::array{0, 4, 2}, {1, 8, 0}}) {
    for (int o = 0; o < 2; ++o)
      for (int i = 0; i < 2; ++i)
        tensor.values[static_cast<size_t>(((2 * ob + o) * 9 + tap) * 6 + 2 * ib + i)] =
            1.0f + static_cast<float>(2 * o + i);
  }
  return tensor;
}

TEST(CompactWeights, ReadBackAsTheyWereForEveryCell) {
  const TemporaryFolder folder;
  const std::vector<NamedWeights> tensors = {weights("a", {8, 3, 3, 8}, 7),    blocks(),
                                             weights("linear", {6, 10}, 5),    weights("odd", {3, 5}, 4),
                                             weights("bias", {8}, 1),          weights("full", {4, 4}, 1),
                                             weights("empty", {4, 4}, 1000000)};
  for (const Cell& cell : {Cell{}, Cell{2, 2, false}, Cell{2, 2, true}}) {
    const std::string path = folder / "w.safetensors";
    export_sparse(path, tensors, cell, {{"iteration", "7"}});
    const SafetensorsFile file = SafetensorsFile::read(path);
    EXPECT_EQ(file.metadata().at("iteration"), "7");
    EXPECT_FALSE(file.find("full.indices"));  // would not be smaller, so it stays dense
    const std::vector<NamedWeights> back = read_sparse(file);
    ASSERT_EQ(back.size(), tensors.size());
    for (size_t i = 0; i < back.size(); ++i) {
      EXPECT_EQ(back[i].name, tensors[i].name);
      EXPECT_EQ(back[i].shape, tensors[i].shape);
      EXPECT_EQ(back[i].values, tensors[i].values) << back[i].name << " " << to_string(cell);
    }
  }
}

TEST(CompactWeights, LieInTheFileAsDocumented) {
  const TemporaryFolder folder;
  const std::string path = folder / "w.safetensors";
  export_sparse(path, {blocks()}, {2, 2, false}, {});
  const SafetensorsFile file = SafetensorsFile::read(path);
  EXPECT_EQ(file.metadata().at("format"), "poise-compact-1");
  EXPECT_EQ(file.metadata().at("b.shape"), "4,3,3,6");
  EXPECT_EQ(file.metadata().at("b.cell"), "2x2");
  const int32_t indices[] = {4 * 3 + 2, (9 + 8) * 3};  // (output block * taps + tap) * input blocks + input block
  const float values[] = {1, 2, 3, 4, 1, 2, 3, 4};
  ASSERT_EQ(file.at("b.indices").bytes.size(), sizeof indices);
  EXPECT_EQ(std::memcmp(file.at("b.indices").bytes.data(), indices, sizeof indices), 0);
  EXPECT_EQ(file.at("b.values").shape, (std::vector<int64_t>{2, 4}));
  EXPECT_EQ(std::memcmp(file.at("b.values").bytes.data(), values, sizeof values), 0);
}

TEST(CompactWeights, RefuseFilesThatContradictThemselves) {
  const TemporaryFolder folder;
  const std::string path = folder / "w.safetensors";
  const int32_t indices[] = {0, 99};
  const float values[] = {1, 2};
  const std::vector<TensorBytes> stored = {{"b.indices", DType::i32, {2}, indices},
                                           {"b.values", DType::f32, {2, 1}, values}};
  const auto read = [&](const StringMap& metadata) {
    write_safetensors(path, stored, metadata);
    read_sparse(SafetensorsFile::read(path));
  };
  const StringMap good = {{"format", "poise-compact-1"}, {"b.shape", "4,4"}, {"b.cell", "1x1"}};
  const auto with = [&](const std::string& key, const std::string& text) {
    StringMap map = good;
    map[key] = text;
    return map;
  };
  expect_error(ErrorKind::checkpoint, {"found cell 99 of 16"}, [&] { read(good); });
  expect_error(ErrorKind::checkpoint, {"expected format"}, [&] { read(with("format", "other")); });
  for (const char* shape : {"", "4", "4,", "4,4,4", "0,4", "-4,4", "4,x", "4,4,1,99999999999999999999"}) {
    expect_error(ErrorKind::checkpoint, {"b.shape"}, [&] { read(with("b.shape", shape)); });
  }
  expect_error(ErrorKind::checkpoint, {"are inconsistent"}, [&] { read(with("b.cell", "3x1")); });
  expect_error(ErrorKind::checkpoint, {"expected 4 values a cell"}, [&] { read(with("b.cell", "2x2")); });
}

}  // namespace
}  // namespace poise
