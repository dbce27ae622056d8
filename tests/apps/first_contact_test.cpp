// A new user's first steps: usage, recognised data folders, estimated run times, progress, and what sparsity gained.
#include <gtest/gtest.h>

#include "apps/run/run_record.h"
#include "data/registry.h"
#include "tests/support/program_test_tools.h"

namespace poise {
namespace {

namespace fs = std::filesystem;
using test::make_pictures;
using test::ProgramResult;
using test::read_bytes;
using test::small_run;
using test::TemporaryFolder;

const std::string kPictures = std::string(POISE_GOLDEN_DIR) + "/pictures";

ProgramResult train(const TemporaryFolder& folder, const std::vector<std::string>& arguments) {
  return test::run_program_in({.folder = folder.path(), .environment = {"POISE_CACHE=" + (folder / "cache")}},
                              POISE_TRAIN_GAN, arguments);
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(FirstContact, WithoutArgumentsItPrintsItsUsage) {
  const TemporaryFolder folder;
  const auto result = train(folder, {});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_TRUE(result.err.starts_with("train_gan trains a GAN")) << result.err;
  EXPECT_TRUE(contains(result.err, "--preset demo")) << result.err;
  EXPECT_TRUE(folder.files().empty());
}

// A plan is timed both dense and under masks. For methods that prune during training, the final masks are used.
TEST(FirstContact, DryRunComparesWithDense) {
  const TemporaryFolder folder;
  for (const std::string method : {"static", "ddst-relaxed", "posthoc", "gradual"}) {
    const auto plan = train(folder, small_run({"--dry-run", "--method", method, "--density-g", "0.2"}));
    EXPECT_EQ(plan.exit_code, 0) << plan.err;
    for (const char* part :
         {"per iteration dense, ", " under masks (cpu ", " as planned for ", "fewer FLOPs of alive weights"}) {
      EXPECT_TRUE(contains(plan.out, part)) << part << "\nin " << plan.out;
    }
    EXPECT_EQ(plan.out.find("as long as D keeps its first density") != std::string::npos, method == "ddst-relaxed");
  }
  EXPECT_TRUE(folder.files().empty());
}

TEST(FirstContact, ADensePlanOverASparsePresetIsDense) {
  const TemporaryFolder folder;
  const std::vector<std::string> dense = {"--preset", "demo", "--method", "dense", "--print-config"};
  const auto config = train(folder, dense);
  EXPECT_EQ(config.exit_code, 0) << config.err;
  for (const char* line : {"density_g = 1.0 ", "density_d = 1.0 "}) EXPECT_TRUE(contains(config.out, line));
  auto contradiction = dense;
  contradiction.insert(contradiction.end(), {"--density-g", "0.3"});
  const auto refused = train(folder, contradiction);
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_TRUE(contains(refused.err, "density_g: method dense has no masks in G but got 0.3")) << refused.err;
  const auto posthoc = train(folder, {"--preset", "demo", "--method", "posthoc", "--print-config"});
  EXPECT_TRUE(contains(posthoc.out, "density_d = 1.0 ")) << posthoc.out << posthoc.err;
}

TEST(FirstContact, TheFirstIterationsAreLogged) {
  const TemporaryFolder folder;
  const auto result = train(folder, small_run({"--iterations", "12", "--log-every", "100"}));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const RunRecord record = read_run(folder / "runs/latest");
  std::vector<double> logged;
  for (const auto& [iteration, loss] : record.of("loss_d")) logged.push_back(iteration);
  EXPECT_EQ(logged, (std::vector<double>{1, 2, 5, 10, 12}));
  EXPECT_TRUE(contains(result.err, "iteration 1/12")) << result.err;
}

TEST(FirstContact, ASparseRunTellsOfItsSpeed) {
  const TemporaryFolder folder;
  const std::vector<std::string> sparse = small_run({"--iterations", "3", "--method", "static", "--density-g", "0.2",
                                                     "--execution", "weights", "--compare-with-dense", "2"});
  const auto result = train(folder, sparse);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(contains(result.out, "dense and ")) << result.out;
  EXPECT_NE(result.out.find("(2 of each in turns, cpu "), std::string::npos) << result.out;
  const RunRecord record = read_run(folder / "runs/latest");
  ASSERT_TRUE(record.speed);
  EXPECT_GT(record.speed->dense_seconds, 0);
  EXPECT_GT(record.speed->dense_flops, 1.5 * record.speed->sparse_flops);
  EXPECT_NEAR(record.speed->density_g, 0.2, 0.05);
  const std::string report = read_bytes(folder / "runs/latest/report.html"),
                    log = read_bytes(folder / "runs/latest/log.txt");
  EXPECT_TRUE(contains(report, "aria-label=\"dense and sparse iterations\""));
  EXPECT_TRUE(contains(log, "iteration 0: 63 of 63 passes of masked layers are sparse (63 weights)")) << log;
  EXPECT_FALSE(contains(log, "forward")) << "layer by layer is for report.html";
  const auto again = train(folder, {"--resume", "runs/latest"});
  EXPECT_FALSE(contains(again.out, "in turns")) << "nothing was trained";
}

TEST(FirstContact, WhatAFolderHoldsIsRecognised) {
  const TemporaryFolder folder;
  make_pictures(folder);
  const auto pictures = train(folder, small_run({"--data", "pictures", "--iterations", "1"}));
  EXPECT_EQ(pictures.exit_code, 0) << pictures.err;
  EXPECT_TRUE(contains(pictures.err, (folder / "pictures") + " holds dataset folder\n")) << pictures.err;
  EXPECT_TRUE(contains(pictures.err, "8 pictures, 2 classes (a, b), which sngan32 does not use; sngan32 draws 32x32"))
      << pictures.err;
  EXPECT_TRUE(contains(read_bytes(folder / "runs/latest/config.toml"), "dataset = \"folder\""))
      << "resumed, it is the same";
  // The data set of a preset is a default; one that the user gives is not.
  const auto preset = train(folder, {"--preset", "stl10-sngan48-dense", "--data", "pictures", "--print-config"});
  EXPECT_TRUE(contains(preset.out, "dataset = \"folder\"") && contains(preset.out, "split = \"auto\"")) << preset.out;
  const auto said = train(folder, small_run({"--dataset", "cifar10", "--data", "pictures"}));
  EXPECT_EQ(said.exit_code, 4) << said.err;
  // The classes are the subfolders, regardless of the preset; without subfolders there are none.
  const std::vector<std::string> conditional =
      small_run({"--preset", "cifar10-biggan32-dense", "--iterations", "1", "--eval-every", "0"});
  auto by_class = conditional, flat = conditional;
  by_class.insert(by_class.end(), {"--data", "pictures"});
  ASSERT_EQ(train(folder, by_class).exit_code, 0);
  EXPECT_TRUE(contains(read_bytes(folder / "runs/latest/config.toml"), "classes = 2"));
  flat.insert(flat.end(), {"--data", "pictures/a"});
  const auto none = train(folder, flat);
  EXPECT_EQ(none.exit_code, 2) << none.err;
  EXPECT_TRUE(contains(none.err, "draws images of classes") && contains(none.err, "--model sngan32")) << none.err;
}

TEST(FirstContact, SomeClassesMayDo) {
  const TemporaryFolder folder;
  make_pictures(folder);
  const auto two = train(folder, small_run({"--only-classes", "horse,0", "--iterations", "1"}));
  EXPECT_EQ(two.exit_code, 0) << two.err;
  EXPECT_TRUE(contains(two.err, "400 images of horse, airplane from ")) << two.err;
  const auto one = train(folder, small_run({"--data", "pictures", "--only-classes", "b", "--iterations", "1"}));
  EXPECT_TRUE(contains(one.err, "4 pictures, 1 class (b)")) << one.err;
  for (const char* wrong : {"hors", "10", "1-"}) {
    const auto refused = train(folder, small_run({"--only-classes", wrong}));
    EXPECT_EQ(refused.exit_code, 2) << refused.err;
    EXPECT_TRUE(contains(refused.err, "--only-classes: expected ")) << refused.err;
  }
  const auto none = train(folder, small_run({"--data", "pictures/a", "--only-classes", "0"}));
  EXPECT_TRUE(contains(none.err, "expected images with classes to choose from, found none")) << none.err;
}

TEST(FirstContact, SetsAreKnownByTheirFiles) {
  const TemporaryFolder folder;
  const std::pair<const char*, const char*> cases[] = {{"cifar-10-batches-bin/test_batch.bin", "cifar10"},
                                                       {"cifar-100-binary/train.bin", "cifar100"},
                                                       {"stl10_binary/train_X.bin", "stl10"},
                                                       {"tiny-imagenet-200/wnids.txt", "tiny-imagenet"},
                                                       {"photos/2026/one.png", "folder"},
                                                       {"notes/readme.txt", ""}};
  int number = 0;
  for (const auto& [file, expected] : cases) {
    const fs::path place = folder / std::to_string(number++);
    fs::create_directories((place / file).parent_path());
    if (std::string(file).ends_with(".png"))
      fs::copy_file(kPictures + "/rgb.png", place / file);
    else
      test::write_bytes(place / file, "x");
    EXPECT_EQ(data_set_in(place), expected) << file;
    EXPECT_EQ(data_set_in((place / file).parent_path()), expected) << file;
  }
  EXPECT_EQ(data_set_in(folder / "nothing"), "");
  EXPECT_EQ(data_set_in(POISE_SAMPLE_DATA_DIR), "cifar10");
}

}  // namespace
}  // namespace poise
