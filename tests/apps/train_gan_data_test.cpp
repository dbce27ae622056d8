// The programs on data sets other than CIFAR-10: a user's own pictures, resumed from the cache; refusals; verify-data.
#include <gtest/gtest.h>

#include "engine/io/checkpoint.h"
#include "tests/support/program_test_tools.h"

namespace poise {
namespace {

namespace fs = std::filesystem;
using test::make_pictures;
using test::names_in;
using test::ProgramResult;
using test::read_bytes;
using test::small_run;
using test::TemporaryFolder;

const std::string kTrainGan = POISE_TRAIN_GAN, kInspectRun = POISE_INSPECT_RUN;
const std::string kPictures = std::string(POISE_GOLDEN_DIR) + "/pictures";

// Runs a program with its own cache folder.
ProgramResult run(const TemporaryFolder& folder, const std::string& program,
                  const std::vector<std::string>& arguments) {
  return test::run_program_in({.folder = folder.path(), .environment = {"POISE_CACHE=" + (folder / "cache")}}, program,
                              arguments);
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::vector<std::string> small_folder_run(const std::vector<std::string>& more) {
  std::vector<std::string> all = small_run({"--dataset", "folder", "--data", "pictures"});
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

TEST(TrainGanData, OnesOwnPicturesResumedFromTheCacheBitForBit) {
  const TemporaryFolder folder;
  make_pictures(folder);
  const auto whole = run(folder, kTrainGan, small_folder_run({"--runs", "whole", "--iterations", "6"}));
  ASSERT_EQ(whole.exit_code, 0) << whole.err;
  EXPECT_TRUE(contains(whole.err, "kept the resized images in " + (folder / "cache"))) << whole.err;
  EXPECT_TRUE(contains(whole.err, "8 images from " + (folder / "pictures"))) << whole.err;
  EXPECT_EQ(names_in(folder / "cache").size(), 1u);
  ASSERT_EQ(run(folder, kTrainGan, small_folder_run({"--runs", "parts", "--iterations", "3"})).exit_code, 0);
  const auto second = run(folder, kTrainGan, {"--resume", "parts/latest", "--iterations", "6"});
  ASSERT_EQ(second.exit_code, 0) << second.err;
  EXPECT_TRUE(contains(second.err, "8 images of 32x32 from the cache")) << second.err;
  const auto last = [&](const std::string& runs) {
    return read_bytes(CheckpointStore(folder / runs + "/latest/checkpoints", 1).path_of(6));
  };
  EXPECT_FALSE(last("whole").empty());
  EXPECT_EQ(last("whole"), last("parts"));

  fs::remove(folder / "pictures/a/grey.png");
  const auto other = run(folder, kTrainGan, {"--resume", "parts/latest", "--iterations", "9"});
  EXPECT_EQ(other.exit_code, 5) << other.err;
  EXPECT_TRUE(contains(other.err, "it was trained on data with crc")) << other.err;
}

TEST(TrainGanData, StreamedDataAreAnnouncedAndChangeNoBit) {
  const TemporaryFolder folder;
  make_pictures(folder);
  const auto go = [&](const std::vector<std::string>& arguments) {
    const auto result = run(folder, kTrainGan, arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result;
  };
  const auto plan = go(small_folder_run({"--data-placement", "stream", "--dry-run"}));
  EXPECT_TRUE(contains(plan.out, "data streamed (asked for)")) << plan.out;
  EXPECT_TRUE(contains(go(small_folder_run({"--dry-run"})).out, "data on the device (auto: the device is the CPU)"));

  go(small_folder_run({"--runs", "whole", "--iterations", "6"}));
  go(small_folder_run({"--runs", "parts", "--iterations", "2", "--data-placement", "stream"}));
  EXPECT_TRUE(contains(read_bytes(folder / "parts/latest/config.toml"), "data_placement = \"stream\""));
  go({"--resume", "parts/latest", "--iterations", "4", "--data-placement", "device"});
  const auto last = go({"--resume", "parts/latest", "--iterations", "6", "--data-placement", "stream"});
  EXPECT_TRUE(contains(last.err, "data streamed (asked for)")) << last.err;
  const std::string log = read_bytes(folder / "parts/latest/log.txt");
  EXPECT_TRUE(contains(log, "data on the device (asked for)") && contains(log, "streamed data: waited ")) << log;
  const auto checkpoint = [&](const std::string& runs) {
    return read_bytes(CheckpointStore(folder / runs + "/latest/checkpoints", 1).path_of(6));
  };
  EXPECT_FALSE(checkpoint("whole").empty());
  EXPECT_EQ(checkpoint("whole"), checkpoint("parts"));
}

TEST(TrainGanData, NoCacheIsWrittenIfNoneIsWanted) {
  const TemporaryFolder folder;
  make_pictures(folder);
  const auto result = run(folder, kTrainGan, small_folder_run({"--iterations", "1", "--data-cache", "false"}));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_FALSE(fs::exists(folder / "cache"));
}

TEST(TrainGanData, Refusals) {
  const TemporaryFolder folder;
  const auto expect = [&](int exit_code, const std::vector<std::string>& parts, const std::vector<std::string>& more) {
    const auto result = run(folder, kTrainGan, small_run(more));
    EXPECT_EQ(result.exit_code, exit_code) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    for (const std::string& part : parts) EXPECT_TRUE(contains(result.err, part)) << part << "\nin " << result.err;
  };
  expect(2, {"dataset stl10 has no sample; give its folder with --data"}, {"--dataset", "stl10"});
  expect(2, {"(did you mean stl10?)"}, {"--dataset", "slt10", "--data", "."});
  expect(2, {"split: dataset cifar10 has auto, train, test but got val"}, {"--split", "val"});
  expect(4, {"unlabeled_X.bin", "stl10_binary.tar.gz"}, {"--dataset", "stl10", "--data", "."});
  expect(2, {"image_size: expected 32, the side that model sngan32 draws"}, {"--image-size", "16"});
  make_pictures(folder);
  test::write_bytes(folder / "pictures/a/rgb.jpg", read_bytes(kPictures + "/rgb.jpg").substr(0, 700));
  expect(4, {"pictures/a/rgb.jpg: truncated JPEG"}, {"--dataset", "folder", "--data", "pictures"});
  EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{"pictures"}) << "nothing was written";
}

TEST(VerifyData, SaysWhatIsThereAndExits4IfThatIsNotEnough) {
  const TemporaryFolder folder;
  make_pictures(folder);
  const auto good = run(folder, kInspectRun, {"verify-data", "pictures", "--dataset", "folder"});
  EXPECT_EQ(good.exit_code, 0) << good.err;
  EXPECT_EQ(good.out, "folder in pictures\n2 classes, 8 of 8 images readable\n");
  const auto missing = run(folder, kInspectRun, {"verify-data", "pictures", "--dataset", "stl10"});
  EXPECT_EQ(missing.exit_code, 4);
  EXPECT_TRUE(contains(missing.out, "missing  unlabeled_X.bin")) << missing.out;
  const auto usage = run(folder, kInspectRun, {"verify-data", "--dataset", "stl-10"});
  EXPECT_EQ(usage.exit_code, 2);
  EXPECT_TRUE(contains(usage.err, "expected the folder of the data set")) << usage.err;
  EXPECT_TRUE(contains(usage.err, "(did you mean stl10?)")) << usage.err;
}

}  // namespace
}  // namespace poise
