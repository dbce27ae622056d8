// The record of evaluate_gan states everything that a result depends on, and invalid comparisons are refused.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "apps/evaluation/feature_set.h"
#include "engine/io/npz.h"
#include "tests/support/program_test_tools.h"

namespace poise {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::ProgramResult;
using test::TemporaryFolder;

ProgramResult run(const TemporaryFolder& folder, const std::string& program,
                  const std::vector<std::string>& arguments) {
  return test::run_program_in(
      {.folder = folder.path(),
       .environment = {"XDG_DATA_HOME=/nowhere", "POISE_INCEPTION=", "POISE_CACHE=" + (folder / "cache")}},
      program, arguments);
}
ProgramResult evaluate(const TemporaryFolder& folder, const std::vector<std::string>& arguments) {
  return run(folder, POISE_EVALUATE_GAN, arguments);
}

void expect_refusal(const ProgramResult& result, int code, const std::string& part) {
  EXPECT_EQ(result.exit_code, code) << result.err;
  EXPECT_NE(result.err.find(part), std::string::npos) << part << "\n  in " << result.err;
}

json record_of(const ProgramResult& result) {
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return json::parse(result.out, nullptr, false);
}

// Writes 24 noise pictures of 40x40 pixels.
void make_pictures(const std::string& folder, uint32_t seed) {
  fs::create_directories(folder);
  const std::string header = test::read_bytes(std::string(POISE_GOLDEN_DIR) + "/pictures/rgb.bmp").substr(0, 54);
  for (int i = 0; i < 24; ++i) {
    std::string bmp = header;
    const int32_t side = 40;
    bmp.replace(18, 4, reinterpret_cast<const char*>(&side), 4);
    bmp.replace(22, 4, reinterpret_cast<const char*>(&side), 4);
    for (int k = 0; k < side * side * 3; ++k) {
      seed = seed * 1664525u + 1013904223u;
      bmp += static_cast<char>(seed >> 24);
    }
    test::write_bytes(folder + "/" + std::to_string(i) + ".bmp", bmp);
  }
}

TEST(EvaluationProtocol, SizesAreRecordedAndMustBeEqual) {
  const TemporaryFolder folder;
  make_pictures(folder / "a", 1), make_pictures(folder / "b", 2);
  ASSERT_EQ(evaluate(folder, {"make-stats", "b", "--image-size", "32", "-o", "b32.npz"}).exit_code, 0);
  const json record = record_of(evaluate(folder, {"a", "--image-size", "32", "--reference", "b32.npz", "--json"}));
  for (const std::string prefix : {"", "reference_"}) {
    EXPECT_EQ(record[prefix + "image_size"], "32x32");
    EXPECT_EQ(record[prefix + "image_resize"], "crop, antialiased bilinear");
    EXPECT_EQ(record[prefix + "dataset"], "folder");
    EXPECT_EQ(record[prefix + "data_crc"].get<std::string>().size(), 8u);
  }
  EXPECT_NE(record["data_crc"], record["reference_data_crc"]);
  const std::string stored = NpzFile::read(folder / "b32.npz").array("protocol").text;
  const json protocol = json::parse(stored);
  EXPECT_EQ(protocol["height"], 32);
  EXPECT_EQ(protocol["image_resize"], "crop, antialiased bilinear");

  expect_refusal(evaluate(folder, {"a", "--image-size", "24", "--reference", "b32.npz"}), 2,
                 "has images of 24x24 but the reference b of 32x32");
  expect_refusal(evaluate(folder, {"a", "--image-size", "40", "--reference", "sample"}), 2, "of 32x32");
  const json plain = record_of(evaluate(folder, {"a", "--image-size", "40", "--reference", "b", "--json"}));
  EXPECT_EQ(plain["image_size"], "40x40");
}

TEST(EvaluationProtocol, StatisticsWithoutASizeAreNamed) {
  const TemporaryFolder folder;
  make_pictures(folder / "a", 1);
  ASSERT_EQ(evaluate(folder, {"make-stats", "a", "--image-size", "32", "-o", "a.npz"}).exit_code, 0);
  const NpzFile file = NpzFile::read(folder / "a.npz");
  json protocol = json::parse(file.array("protocol").text);
  protocol.erase("height"), protocol.erase("width");
  write_npz(
      folder / "old.npz",
      std::vector<NpyArray>{file.array("mu"), file.array("sigma"), {.name = "protocol", .text = protocol.dump()}});
  const ProgramResult result = evaluate(folder, {"a", "--image-size", "32", "--reference", "old.npz"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("does not state the size of its images"), std::string::npos) << result.err;
}

TEST(EvaluationProtocol, ARunIsComparedWithItsOwnImages) {
  const TemporaryFolder folder;
  make_pictures(folder / "mine", 1);
  const ProgramResult trained =
      run(folder, POISE_TRAIN_GAN, test::small_run({"--iterations", "1", "--dataset", "folder", "--data", "mine"}));
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  const json record = record_of(evaluate(folder, {"runs/latest", "--images", "100", "--json"}));
  EXPECT_EQ(record["reference_images"], 24);
  EXPECT_EQ(record["reference_dataset"], "folder");
  EXPECT_NE(record["reference_source"].get<std::string>().find("mine"), std::string::npos);
  EXPECT_EQ(record["image_size"], "32x32");
  expect_refusal(evaluate(folder, {"runs/latest", "--dataset", "cifar100"}), 2, "--dataset: has no effect on a gen");
  expect_refusal(evaluate(folder, {"runs/latest", "--reference", "sample", "--dataset", "cifar100"}), 2, "with sample");
  expect_refusal(evaluate(folder, {"runs/latest", "--reference", "x.npz", "--split", "test"}), 2, "with x.npz");
  // The same with a checkpoint file, a copy in another folder, and after the pictures have changed or been removed.
  const std::string checkpoint = "runs/latest/checkpoints/step-00000001.safetensors";
  EXPECT_EQ(record_of(evaluate(folder, {checkpoint, "--images", "100", "--json"}))["value"], record["value"]);
  fs::copy_file(folder / checkpoint, folder / "alone.safetensors");
  expect_refusal(evaluate(folder, {"alone.safetensors", "--images", "100"}), 2, "give it with --reference");
  EXPECT_EQ(record_of(evaluate(
                folder, {"runs/latest", "--images", "100", "--reference", "sample", "--json"}))["reference_dataset"],
            "cifar10_sample");
  fs::copy_file(folder / "mine/1.bmp", folder / "mine/0.bmp", fs::copy_options::overwrite_existing);
  expect_refusal(evaluate(folder, {"runs/latest", "--images", "100"}), 4,
                 "but the checkpoint was trained on data with");
  fs::remove_all(folder / "mine");
  const ProgramResult gone = evaluate(folder, {"runs/latest", "--images", "100"});
  expect_refusal(gone, 4, "the images that the run was trained on");
  expect_refusal(gone, 4, "--reference");
}

TEST(EvaluationProtocol, AReferenceMustBeNamedForWhatIsNoRun) {
  const TemporaryFolder folder;
  make_pictures(folder / "a", 1);
  expect_refusal(evaluate(folder, {"a", "--image-size", "32"}), 2, "expected something to compare with");
}

TEST(EvaluationProtocol, ANameStandsForItsReferenceOnly) {
  const TemporaryFolder folder;
  make_pictures(folder / "a", 1);
  const std::string protocol = "cifar10-quick-1k";
  expect_refusal(evaluate(folder, {"a", "--image-size", "32", "--protocol", protocol}), 2, "needs --reference");
  fs::create_directory(folder / "cifar");
  for (int i = 1; i <= 5; ++i) {
    const std::string path = folder / ("cifar/data_batch_" + std::to_string(i) + ".bin");
    test::write_bytes(path, "");
    fs::resize_file(path, 30'730'000);
  }
  expect_refusal(evaluate(folder, {"cifar", "--reference", "sample", "--protocol", protocol}), 2,
                 "expected the train split of CIFAR-10 (50000 images, of which it takes 1000)");
  const json record = record_of(evaluate(folder, {"cifar", "--reference", "cifar", "--protocol", protocol, "--json"}));
  EXPECT_EQ(record["protocol"], protocol);
  EXPECT_EQ(record["reference_images"], 1000);
  ASSERT_EQ(evaluate(folder, {"make-stats", "cifar", "--images", "900", "-o", "c.npz"}).exit_code, 0);
  expect_refusal(evaluate(folder, {"cifar", "--reference", "c.npz", "--protocol", protocol}), 2, "split train, 900");
  // The split that a protocol implies is not refused for a generator, as the flag would be.
  ASSERT_EQ(run(folder, POISE_TRAIN_GAN, test::small_run({"--iterations", "1"})).exit_code, 0);
  expect_refusal(evaluate(folder, {"runs/latest", "--reference", "c.npz", "--protocol", protocol}), 2,
                 "split train, 900");
  ASSERT_EQ(evaluate(folder, {"make-stats", "cifar", "--images", "1000", "-o", "k.npz"}).exit_code, 0);
  EXPECT_EQ(record_of(evaluate(folder,
                               {"runs/latest", "--reference", "k.npz", "--protocol", protocol, "--json"}))["protocol"],
            protocol);
}

TEST(EvaluationProtocol, WhatIsNoCovarianceIsRefused) {
  const TemporaryFolder folder;
  make_pictures(folder / "a", 1);
  ASSERT_EQ(evaluate(folder, {"make-stats", "a", "--image-size", "32", "-o", "a.npz"}).exit_code, 0);
  const NpzFile file = NpzFile::read(folder / "a.npz");
  const auto with = [&](const std::function<void(NpyArray&)>& change, const std::string& part) {
    NpyArray sigma = file.array("sigma");
    change(sigma);
    write_npz(folder / "bad.npz", std::vector<NpyArray>{file.array("mu"), sigma, file.array("protocol")});
    expect_refusal(evaluate(folder, {"a", "--image-size", "32", "--reference", "bad.npz"}), 4, part);
  };
  with(
      [](NpyArray& s) {
        for (size_t i = 0; i < 192; ++i) s.values[i * 193] = -1000;
      },
      "the negative variance -1000 at 0");
  with([](NpyArray& s) { s.values[1] = 1e6; }, "is not symmetric");
  with([](NpyArray& s) { s.values[1] = s.values[192] = 1e6; }, "more than the variances allow");
  with([](NpyArray& s) { s.values[5] = s.values[5 * 192] = NAN; }, "not finite");
  with(  // three features whose pairs are valid on their own
      [](NpyArray& s) {
        for (size_t i = 0; i < s.values.size(); ++i) {
          const size_t row = i / 192, column = i % 192;
          s.values[i] = row == column ? 1 : row < 3 && column < 3 ? -0.9 : 0;
        }
      },
      "a negative eigenvalue");
  // Covariances of few images, of identical images, or rounded to float32 are valid.
  const auto read = [&](const std::function<double(size_t, size_t)>& value) {
    NpyArray sigma = file.array("sigma");
    for (size_t i = 0; i < sigma.values.size(); ++i) sigma.values[i] = value(i / 192, i % 192);
    write_npz(folder / "good.npz", std::vector<NpyArray>{file.array("mu"), sigma, file.array("protocol")});
    const ProgramResult result = evaluate(folder, {"a", "--image-size", "32", "--reference", "good.npz"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
  };
  read([](size_t, size_t) { return 0.0; });
  read([](size_t row, size_t column) {
    return static_cast<double>(static_cast<float>(std::sin(row + 1.0) * std::sin(column + 1.0)));
  });
}

// Statistics as written by the tools that publish them (tests/golden).
TEST(EvaluationProtocol, StatisticsOfOtherToolsAreRead) {
  const std::string folder = std::string(POISE_GOLDEN_DIR) + "/statistics";
  std::ifstream text(folder + "/moments.txt");
  std::vector<double> expected;
  for (double value = 0; text >> value;) expected.push_back(value);
  ASSERT_EQ(expected.size(), 30u);
  int files = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".npz") continue;
    ++files;
    const FeatureStatistics s = read_statistics(entry.path());
    const bool single = entry.path().stem() == "torch_fidelity";
    std::vector<double> all = s.moments.mean;
    all.insert(all.end(), s.moments.covariance.begin(), s.moments.covariance.end());
    ASSERT_EQ(all.size(), expected.size()) << entry.path();
    for (size_t i = 0; i < all.size(); ++i) {
      EXPECT_EQ(all[i], single ? static_cast<double>(static_cast<float>(expected[i])) : expected[i]) << entry.path();
    }
    EXPECT_EQ(s.protocol.images, 0);
    EXPECT_EQ(s.network, "");
  }
  EXPECT_EQ(files, 6);
  const TemporaryFolder empty;
  make_pictures(empty / "a", 1);
  test::write_bytes(empty / "stats.pt", "PK\3\4");
  expect_refusal(evaluate(empty, {"a", "--image-size", "32", "--reference", "stats.pt"}), 4, "numpy.savez");
  expect_refusal(evaluate(empty, {folder + "/ttur.npz", "--reference", "a"}), 4, "give them as --reference");
}

}  // namespace
}  // namespace poise
