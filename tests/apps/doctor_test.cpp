// End-to-end tests of inspect_run doctor, compare and masks.
#include <gtest/gtest.h>

#include "tests/support/program_test_tools.h"

namespace poise {
namespace {

using test::ProgramResult;
using test::small_run;
using test::TemporaryFolder;

ProgramResult inspect(const TemporaryFolder& folder, const std::vector<std::string>& arguments,
                      const std::vector<std::string>& environment = {}) {
  return test::run_program_in({.folder = folder.path(), .environment = environment}, POISE_INSPECT_RUN, arguments);
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// The line of a topic, including its state: "ok    memory     ..".
std::string line_of(const std::string& text, const std::string& topic) {
  const size_t at = text.find(" " + topic + " ");
  if (at == std::string::npos) return "";
  const size_t begin = text.rfind('\n', at) + 1;
  return text.substr(begin, text.find('\n', at) - begin);
}

TEST(Doctor, FindsThisMachineFit) {
  const TemporaryFolder folder;
  const ProgramResult result = inspect(folder, {"doctor"}, {"POISE_CACHE=" + folder / "cache"});
  EXPECT_EQ(result.exit_code, 0) << result.out << result.err;
  for (const char* topic : {"version", "processor", "cores", "memory", "build", "driver", "gpu", "ranks", "inception",
                            "presets", "sample", "data", "cache", "disk", "trial"}) {
    EXPECT_NE(line_of(result.out, topic), "") << topic << " is not looked at\n" << result.out;
  }
  EXPECT_TRUE(line_of(result.out, "trial").starts_with("ok")) << result.out;
  EXPECT_TRUE(contains(result.out, "training works here")) << result.out;
  EXPECT_TRUE(folder.files().empty()) << "it left something";
}

TEST(Doctor, SaysWhatWouldFail) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "stl10");
  test::write_bytes(folder / "stl10/unlabeled_X.bin", "short");
  const ProgramResult damaged = inspect(folder, {"doctor", "--data", "stl10"});
  EXPECT_EQ(damaged.exit_code, 3) << damaged.out;
  EXPECT_TRUE(line_of(damaged.out, "data").starts_with("BAD")) << damaged.out;
  EXPECT_TRUE(contains(line_of(damaged.out, "data"), "inspect_run verify-data stl10 --dataset stl10")) << damaged.out;
  EXPECT_TRUE(contains(damaged.out, "training would fail here")) << damaged.out;

  const ProgramResult nothing = inspect(folder, {"doctor", "--data", "nowhere"});
  EXPECT_EQ(nothing.exit_code, 3) << nothing.out;
  EXPECT_TRUE(contains(line_of(nothing.out, "data"), "nowhere")) << nothing.out;

  test::write_bytes(folder / "a_file", "");
  const ProgramResult elsewhere = inspect(folder, {"doctor", "--runs", "/proc/runs"});
  EXPECT_EQ(elsewhere.exit_code, 3) << elsewhere.out;
  EXPECT_TRUE(line_of(elsewhere.out, "disk").starts_with("BAD")) << elsewhere.out;

  const ProgramResult device = inspect(folder, {"doctor", "--device", "cuda"});
  EXPECT_TRUE(device.exit_code == 0 || line_of(device.out, "gpu").starts_with("BAD")) << device.out;
  EXPECT_EQ(inspect(folder, {"doctor", "--device", "gpu"}).exit_code, 2);
}

// Two runs with different methods; one of them has masks.
class Pictures : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    for (const std::vector<std::string>& more :
         {std::vector<std::string>{"--name", "dense"},
          {"--name", "sparse", "--method", "sdst-set", "--density-g", "0.3", "--update-every-g", "2"}}) {
      std::vector<std::string> all =
          small_run({"--iterations", "6", "--width-g", "16", "--width-d", "16", "--checkpoint-every", "2",
                     "--keep-checkpoints", "100", "--eval-every", "3", "--set", "eval_metric=swd"});
      all.insert(all.end(), more.begin(), more.end());
      const ProgramResult result = test::run_program_in({.folder = folder_->path()}, POISE_TRAIN_GAN, all);
      ASSERT_EQ(result.exit_code, 0) << result.err;
    }
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }
  static constexpr const char *kDense = "runs/00000-dense-seed1", *kSparse = "runs/00001-sparse-seed1";
  static TemporaryFolder* folder_;
};
TemporaryFolder* Pictures::folder_ = nullptr;

TEST_F(Pictures, RunsAreComparedOnOnePage) {
  const ProgramResult result = inspect(*folder_, {"compare", kDense, kSparse, "-o", "page.html"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "page.html\n");
  const std::string page = test::read_bytes(*folder_ / "page.html");
  for (const char* part : {"00000-dense-seed1", "00001-sparse-seed1", "<h2>What differs</h2>", "<th>method</th>",
                           "<td>dense</td><td>sdst-set</td>", "<h2>swd</h2>", "<h2>loss of G</h2>",
                           "<h2>density of G</h2>", "training time (hours)", "executed arithmetic (PFLOP)"}) {
    EXPECT_TRUE(contains(page, part)) << part;
  }
  EXPECT_FALSE(contains(page, "<th>width_g</th>")) << "it does not differ";
  EXPECT_FALSE(contains(page, "<script") || contains(page, "src=\"http")) << "the page needs nothing else";

  EXPECT_EQ(inspect(*folder_, {"compare", kDense}).exit_code, 2);
  EXPECT_EQ(inspect(*folder_, {"compare", kDense, kDense, kDense, kDense, kDense, kDense}).exit_code, 2);
  EXPECT_EQ(inspect(*folder_, {"compare", kDense, "nowhere"}).exit_code, 5);
}

TEST_F(Pictures, AreAsGoodAsADataSet) {
  std::filesystem::create_directory(*folder_ / "own");
  test::write_bytes(*folder_ / "own/reals.png",
                    test::read_bytes(*folder_ / (std::string(kDense) + "/samples/reals.png")));
  const ProgramResult result = inspect(*folder_, {"doctor", "--data", "own"});
  EXPECT_EQ(result.exit_code, 0) << result.out;
  EXPECT_TRUE(contains(line_of(result.out, "data"), "pictures in own")) << result.out;
}

// Neither a run nor a checkpoint is accepted as a reference, and the error says what to do instead.
TEST_F(Pictures, AreNotThoseOfARun) {
  const auto evaluate = [&](const std::string& reference) {
    return test::run_program_in({.folder = folder_->path()}, POISE_EVALUATE_GAN,
                                {kDense, "--metrics", "frechet-random", "--images", "50", "--reference", reference});
  };
  const ProgramResult run = evaluate(kSparse),
                      checkpoint = evaluate(kSparse + std::string("/checkpoints/") + "step-00000006.safetensors");
  EXPECT_EQ(run.exit_code, 4) << run.err;
  EXPECT_TRUE(contains(run.err, "a run cannot be a reference")) << run.err;
  EXPECT_EQ(checkpoint.exit_code, 4) << checkpoint.err;
  EXPECT_TRUE(contains(checkpoint.err, "a checkpoint cannot be a reference")) << checkpoint.err;
}

TEST_F(Pictures, MasksAreDrawnOverTime) {
  const ProgramResult result = inspect(*folder_, {"masks", kSparse, "-o", "masks.png", "--network", "G"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(contains(result.out, "iterations from left to right: 0 2 3 4 6")) << result.out;
  EXPECT_TRUE(contains(result.out, "G.block2.conv1")) << result.out;
  EXPECT_FALSE(contains(result.out, "D.")) << result.out;
  const std::string png = test::read_bytes(*folder_ / "masks.png");
  EXPECT_TRUE(png.starts_with("\x89PNG"));
  EXPECT_EQ(inspect(*folder_, {"masks", kDense, "-o", "x.png"}).exit_code, 5);
  EXPECT_EQ(inspect(*folder_, {"masks"}).exit_code, 2);
}

}  // namespace
}  // namespace poise
