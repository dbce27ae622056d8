// evaluate_gan with files of the wrong kind, images of unusual size, and flags that have no effect. The errors name the
// problem and its solution.
#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "engine/io/checkpoint.h"
#include "tests/support/program_test_tools.h"

namespace poise {
namespace {

using test::ProgramResult;
using test::TemporaryFolder;

ProgramResult evaluate(const TemporaryFolder& folder, const std::vector<std::string>& arguments) {
  return test::run_program_in({.folder = folder.path(), .environment = {"XDG_DATA_HOME=/nowhere"}}, POISE_EVALUATE_GAN,
                              arguments);
}

void expect_refusal(const ProgramResult& result, int code, const std::string& part) {
  EXPECT_EQ(result.exit_code, code) << result.err;
  EXPECT_NE(result.err.find(part), std::string::npos) << part << "\n  in " << result.err;
}

// Writes a square picture with this side in pixels, as BMP.
void write_bmp(const std::string& path, int32_t side) {
  std::string bmp = test::read_bytes(std::string(POISE_GOLDEN_DIR) + "/pictures/rgb.bmp").substr(0, 54);
  bmp.replace(18, 4, reinterpret_cast<const char*>(&side), 4);
  bmp.replace(22, 4, reinterpret_cast<const char*>(&side), 4);
  for (int k = 0; k < side * side * 3; ++k) bmp += static_cast<char>(k * 7 + k / 999);
  test::write_bytes(path, bmp);
}

std::string safetensors(const std::string& dtype, int bytes) {
  std::string header = "{\"Conv2d_1a_3x3.conv.weight\":{\"dtype\":\"" + dtype +
                       "\",\"shape\":[1],\"data_offsets\":[0," + std::to_string(bytes) + "]}}";
  uint64_t length = header.size();
  std::string file(8, '\0');
  std::memcpy(file.data(), &length, 8);
  return file + header + std::string(static_cast<size_t>(bytes), 'x');
}

TEST(EvaluationInput, WeightsThatAreSomethingElse) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "a");
  for (int i = 0; i < 4; ++i) write_bmp(folder / ("a/" + std::to_string(i) + ".bmp"), 32);
  const auto with = [&](const std::string& bytes) {
    test::write_bytes(folder / "weights", bytes);
    return evaluate(folder,
                    {"a", "--image-size", "32", "--reference", "a", "--metrics", "fid-64", "--inception", "weights"});
  };
  for (const auto& [dtype, bytes] : {std::pair{"F16", 2}, {"BF16", 2}, {"I64", 8}}) {
    const ProgramResult result = with(safetensors(dtype, bytes));
    expect_refusal(result, 3, std::string("found \"") + dtype + "\"");
    expect_refusal(result, 3, "convert_inception.py");
    EXPECT_EQ(result.err.find("damaged"), std::string::npos) << result.err;
  }
  expect_refusal(with("PK\x03\x04" + std::string(100, 'x')), 5, "a zip archive, as PyTorch (.pth, .pt)");
  expect_refusal(with("\x80\x02" + std::string(100, 'x')), 5, "a pickle, as Python and early PyTorch");
  const std::string pointer =
      "version https://git-lfs.github.com/spec/v1\noid "
      "sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393"
      "\nsize 12345\n";
  expect_refusal(with(pointer), 3, "git lfs pull");
  // Other files that may be Git LFS pointers.
  test::write_bytes(folder / "data_batch_1.bin", pointer);
  expect_refusal(evaluate(folder, {"data_batch_1.bin", "--reference", "sample"}), 3, "git lfs pull");
  test::write_bytes(folder / "s.npz", pointer);
  expect_refusal(evaluate(folder, {"a", "--image-size", "32", "--reference", "s.npz"}), 3, "git lfs pull");
}

TEST(EvaluationInput, ACheckpointThatIsAPointerIsNotDamaged) {
  const TemporaryFolder folder;
  test::write_bytes(folder / "step-00000007.safetensors", "version https://git-lfs.github.com/spec/v1\noid x\n");
  test::expect_error(ErrorKind::environment, {"git lfs pull"},
                     [&] { CheckpointStore(folder.path(), 1).newest_valid(); });
  test::write_bytes(folder / "step-00000007.safetensors", safetensors("BF16", 2));
  test::expect_error(ErrorKind::environment, {"which Poise does not read"},
                     [&] { CheckpointStore(folder.path(), 1).newest_valid(); });
}

TEST(EvaluationInput, LargeImagesTakeSmallerBatches) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "a");
  for (int i = 0; i < 2; ++i) write_bmp(folder / ("a/" + std::to_string(i) + ".bmp"), 1024);
  const ProgramResult result =
      evaluate(folder, {"a", "--image-size", "1024", "--reference", "a", "--metrics", "frechet-random-64", "--json"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const auto record = nlohmann::json::parse(result.out, nullptr, false);
  EXPECT_EQ(record["image_size"], "1024x1024");
  EXPECT_NEAR(record["value"].get<double>(), 0, 1e-6);
}

TEST(EvaluationInput, FlagsThatNothingReadsAreRefused) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "a");
  write_bmp(folder / "a/1.bmp", 32), write_bmp(folder / "a/2.bmp", 32);
  const auto refused = [&](std::vector<std::string> arguments, const std::string& part) {
    expect_refusal(evaluate(folder, arguments), 2, part);
  };
  refused({"a", "--image-size", "32", "--reference", "a", "--weights", "live"}, "--weights: has no effect on images");
  refused({"a", "--reference", "a", "--metrics", "frechet-random", "--splits", "2"}, "without the Inception Score");
  refused({"a", "--reference", "x.npz", "--reference-images", "5"}, "--reference-images: has no effect on statistics");
  refused({"a", "--metrics", "is", "--reference", "a"}, "--reference: has no effect on a metric without");
  refused({"a", "--reference", "a", "--metrics", "frechet-random", "--inception", "x"}, "on random features");
  refused({"x.bin", "--reference", "a", "--split", "test"}, "--split: has no effect on a batch file");
  refused({"make-stats", "a", "-o", "a.npz", "--json"}, "--json: has no effect with make-stats");
  refused({"make-stats", "a", "-o", "a.txt"}, "recognised by their extension, .npz");
  refused({"a", "--reference", "a", "--reference", "b"}, "--reference: expected once");
}

}  // namespace
}  // namespace poise
