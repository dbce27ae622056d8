// train_gan and sample_gan with bad input and in bad environments: the exit code, a one-line error that names the
// culprit, and no half-written files.
#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "apps/console/number_list.h"
#include "apps/options/option_sources.h"
#include "engine/io/checkpoint.h"
#include "tests/support/program_test_tools.h"

namespace poise {
namespace {

using test::names_in;
using test::ProgramResult;
using test::read_bytes;
using test::run_directories;
using test::small_run;
using test::TemporaryFolder;
using test::write_bytes;

const std::string kTrainGan = POISE_TRAIN_GAN, kSampleGan = POISE_SAMPLE_GAN;

ProgramResult run(const TemporaryFolder& folder, const std::string& program,
                  const std::vector<std::string>& arguments) {
  return test::run_program_in({.folder = folder.path()}, program, arguments);
}

// Expects one line "NAME: error: ..." that contains all the parts, this exit code, and no output.
void expect_refusal(const ProgramResult& result, int exit_code, const std::vector<std::string>& parts) {
  EXPECT_EQ(result.exit_code, exit_code) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_NE(result.err.find(": error: "), std::string::npos) << result.err;
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  for (const std::string& part : parts)
    EXPECT_NE(result.err.find(part), std::string::npos) << part << "\nin " << result.err;
}

// A data folder with the bundled sample after `change` was applied to its bytes.
template <class Change>
std::string changed_data(const TemporaryFolder& folder, const Change& change) {
  std::string bytes = read_bytes(std::string(POISE_SAMPLE_DATA_DIR) + "/cifar10_sample.bin");
  change(bytes);
  const std::string path = folder / "data";
  std::filesystem::create_directories(path);
  write_bytes(path + "/cifar10_sample.bin", bytes);
  return path;
}

TEST(TrainGanInput, UsageErrorsComeBeforeAnythingIsWritten) {
  const TemporaryFolder folder;
  const struct {
    std::vector<std::string> arguments, parts;
  } cases[] = {
      {{"--widht-g", "3"}, {"unknown flag --widht-g (did you mean --width-g?)"}},
      {{"--width-g", "wide"},
       {"width_g: expected an integer from 1 to 4096 but got \"wide\" [command line --width-g]"}},
      {{"--width-g"}, {"--width-g"}},
      {{"--loss", "hinged"}, {"loss: expected hinge, bce or wasserstein", "did you mean hinge?"}},
      {{"--learning-rate-g", "-1"}, {"learning_rate_g: expected a real number above 0 to 10 but got -1"}},
      {{"--set", "seed"}, {"--set: expected KEY=VALUE but got \"seed\""}},
      {{"--preset", "tinny"}, {"unknown preset \"tinny\" (did you mean tiny?)"}},
      {{"--config", "none.toml"}, {"cannot read none.toml: No such file"}},
      {{"--name", "a/b"}, {"name: expected a word"}},
      {{"--batch-size-d", "1024"}, {"batch_size_d"}},
      {{"stray"}, {"unexpected argument \"stray\""}},
      {{"--lr", "1e-4"}, {"unknown flag --lr (did you mean --learning-rate-g or --learning-rate-d?)"}},
  };
  for (const auto& c : cases) expect_refusal(run(folder, kTrainGan, c.arguments), 2, c.parts);
  expect_refusal(
      test::run_program_in({.folder = folder.path(), .environment = {"POISE_SEDE=1"}}, kTrainGan, {"--preset", "tiny"}),
      2, {"POISE_SEDE (did you mean POISE_SEED?)"});
  EXPECT_TRUE(folder.files().empty()) << folder.files()[0];
}

TEST(TrainGanInput, RunsThatDoNotFitIntoMemoryDoNotStart) {
  const TemporaryFolder folder;
  const auto result = run(folder, kTrainGan, {"--width-g", "4096", "--batch-size-g", "2048"});
  expect_refusal(result, 3, {"MiB of memory but this machine has"});
  EXPECT_TRUE(folder.files().empty());
}

TEST(TrainGanInput, SeveralProblemsAreReportedTogether) {
  const TemporaryFolder folder;
  const auto result = run(folder, kTrainGan, {"--widht-g", "3", "--flip=maybe", "--seed", "x"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 4) << result.err;
}

TEST(TrainGanInput, BadDataIsRefused) {
  const TemporaryFolder folder;
  expect_refusal(run(folder, kTrainGan, small_run({"--data", "/nowhere"})), 4, {"/nowhere"});
  const std::string truncated = changed_data(folder, [](std::string& bytes) { bytes.resize(bytes.size() - 1); });
  expect_refusal(run(folder, kTrainGan, small_run({"--data", truncated})), 4, {"cifar10_sample.bin"});
  const std::string labels = changed_data(folder, [](std::string& bytes) { bytes[3073 * 5] = 10; });
  expect_refusal(run(folder, kTrainGan, small_run({"--data", labels})), 4, {"cifar10_sample.bin", "10"});
  EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{"data"});
}

TEST(TrainGanInput, OutputThatCannotBeWritten) {
  const TemporaryFolder folder;
  write_bytes(folder / "file", "x");
  expect_refusal(run(folder, kTrainGan, small_run({"--runs", "file"})), 1, {"file"});
  expect_refusal(run(folder, kTrainGan, small_run({"--runs", "file/below"})), 1, {"Not a directory"});
  expect_refusal(run(folder, kTrainGan, small_run({"--runs", "/proc/poise"})), 1, {"/proc/poise"});
  // A disk that only has space for the first few files.
  const test::ProgramSetting tight{.folder = folder.path(), .file_size_limit = 4096};
  expect_refusal(test::run_program_in(tight, kTrainGan, small_run({"--runs", "a/b"})), 1, {"File too large"});
  EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{"file"}) << "nothing half-written";
}

TEST(TrainGanInput, DiskThatFillsUpDuringARun) {
  const TemporaryFolder folder;
  // Enough space for a checkpoint, but too little for a long log.
  const auto first = run(folder, kTrainGan, small_run({"--iterations", "1"}));
  ASSERT_EQ(first.exit_code, 0) << first.err;
  const auto size = std::filesystem::file_size(folder / "runs/latest/checkpoints/step-00000001.safetensors");
  const test::ProgramSetting tight{.folder = folder.path(), .file_size_limit = static_cast<int64_t>(size) + 100};
  const auto result = test::run_program_in(tight, kTrainGan, small_run({"--iterations", "1000000", "--quiet"}));
  expect_refusal(result, 1, {"File too large", "raise it"});
  const auto runs = run_directories(folder / "runs");
  ASSERT_EQ(runs.size(), 2u);
  const std::string full = folder / "runs/" + runs[1];
  const int64_t saved = CheckpointStore(full + "/checkpoints", 1).newest_valid().step;
  EXPECT_GT(saved, 0);
  const auto resumed = run(folder, kTrainGan, {"--resume", full, "--iterations", std::to_string(saved + 2)});
  EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
}

TEST(TrainGanInput, StandardOutputThatIsClosedOrFull) {
  const TemporaryFolder folder;
  for (const char* out : {"closed", "/dev/full"}) {
    const auto result =
        test::run_program_in({.folder = folder.path(), .standard_output = out}, kTrainGan, small_run({"--dry-run"}));
    expect_refusal(result, 1, {"standard output: cannot write"});
  }
  EXPECT_TRUE(folder.files().empty());
}

TEST(TrainGanInput, ResumeOfWhatIsNoRun) {
  const TemporaryFolder folder;
  expect_refusal(run(folder, kTrainGan, {"--resume", "nowhere"}), 5, {"nowhere: no run directory"});
  std::filesystem::create_directory(folder / "empty");
  expect_refusal(run(folder, kTrainGan, {"--resume", "empty"}), 5, {"it has no config.toml"});
  expect_refusal(run(folder, kTrainGan, {"--resume", "nowhere", "--preset", "tiny"}), 5, {"nowhere"});
  EXPECT_TRUE(names_in(folder / "empty").empty());
}

TEST(TrainGanInput, ResumeWithDamagedOrForeignCheckpoints) {
  const TemporaryFolder folder;
  ASSERT_EQ(run(folder, kTrainGan, small_run({"--iterations", "6"})).exit_code, 0);
  const std::string run_path = std::filesystem::canonical(folder / "runs/latest");
  const std::string newest = run_path + "/checkpoints/step-00000006.safetensors", bytes = read_bytes(newest);

  // Different data is named and refused, and nothing is modified.
  const std::string data = changed_data(folder, [](std::string& b) { b[1] = static_cast<char>(b[1] ^ 1); });
  expect_refusal(run(folder, kTrainGan, {"--resume", run_path, "--data", data}), 5, {"trained on data with crc", data});
  // Another configuration in config.toml.
  const std::string config = read_bytes(run_path + "/config.toml");
  std::string other = config;
  other.replace(other.find("width_g = 4"), 11, "width_g = 8");
  write_bytes(run_path + "/config.toml", other);
  expect_refusal(run(folder, kTrainGan, {"--resume", run_path}), 5, {"width_g"});
  write_bytes(run_path + "/config.toml", config);
  EXPECT_EQ(read_bytes(newest), bytes);

  // If the newest checkpoint is damaged, the run continues from the one before, with a warning. If all are, it fails.
  std::string flipped = bytes;
  flipped[flipped.size() / 2] = static_cast<char>(flipped[flipped.size() / 2] ^ 4);
  write_bytes(newest, flipped);
  const auto older = run(folder, kTrainGan, {"--resume", run_path});
  EXPECT_EQ(older.exit_code, 0) << older.err;
  EXPECT_NE(older.err.find("at iteration 5"), std::string::npos) << older.err;
  EXPECT_EQ(read_bytes(newest), bytes) << "the same iteration again gives the same file";
  for (const std::string& name : names_in(run_path + "/checkpoints"))
    write_bytes(run_path + "/checkpoints/" + name, "x");
  expect_refusal(run(folder, kTrainGan, {"--resume", run_path}), 5, {"damaged"});
}

// The state after divergence, as a checkpoint that this version would never write.
TEST(TrainGanInput, DivergenceStopsTheRunAndKeepsTheGoodCheckpoint) {
  const TemporaryFolder folder;
  ASSERT_EQ(run(folder, kTrainGan, small_run({"--iterations", "5"})).exit_code, 0);
  const std::string store_path = folder / "runs/latest/checkpoints";
  {
    CheckpointStore store(store_path, 3);
    const CheckpointStore::Loaded loaded = store.newest_valid();
    std::vector<TensorBytes> tensors;
    std::vector<float> broken;
    for (const std::string& name : loaded.file.names()) {
      const TensorView& view = loaded.file.at(name);
      tensors.push_back({name, view.dtype, view.shape, view.bytes.data()});
      if (name != "G.linear.weight") continue;
      broken.assign(view.bytes.size() / sizeof(float), std::numeric_limits<float>::quiet_NaN());
      tensors.back().bytes = broken.data();
    }
    ASSERT_FALSE(broken.empty());
    StringMap metadata = loaded.file.metadata();
    for (const char* key : {"format", "step", "crc32", "header_crc32"}) metadata.erase(key);
    store.save(5, tensors, metadata);
  }
  const auto result = run(folder, kTrainGan, {"--resume", "runs/latest", "--iterations", "9", "--quiet"});
  expect_refusal(result, 1, {"iteration 6", "diverged", "learning_rate", "step-00000005.safetensors"});
  EXPECT_EQ(CheckpointStore(store_path, 3).list().back(), 5) << "the broken state was not saved";
}

TEST(TrainGanInput, DryRunAndPrintConfigWriteNothing) {
  const TemporaryFolder folder;
  const auto plan =
      run(folder, kTrainGan, {"--dry-run", "--batch-size-d", "1", "--batch-size-g", "1", "--n-critic", "1"});
  EXPECT_EQ(plan.exit_code, 0) << plan.err;
  for (const char* part : {"G.block4.conv1", "4,276,739", "1,053,824", "s per iteration, ",
                           " for 100,000 iterations (cpu ", "would create runs/NNNNN-sngan32-seed1"}) {
    EXPECT_NE(plan.out.find(part), std::string::npos) << part << "\nin " << plan.out;
  }
  const auto config = run(folder, kTrainGan, {"--preset", "tiny", "--seed", "3", "--print-config"});
  EXPECT_EQ(config.exit_code, 0) << config.err;
  EXPECT_TRUE(folder.files().empty());
  write_bytes(folder / "c.toml", config.out);
  OptionSet options;
  read_options_file(folder / "c.toml", "file", options);
  EXPECT_TRUE(options.problems().empty());
  EXPECT_EQ(options.settings().train.seed, 3);
  for (const std::string& program : {kTrainGan, kSampleGan}) {
    for (const char* flag : {"--help", "--version"}) EXPECT_EQ(run(folder, program, {flag}).exit_code, 0);
  }
}

TEST(TrainGanInput, ProgressIntoAFileIsPlain) {
  const TemporaryFolder folder;
  const auto result = run(folder, kTrainGan, small_run({"--iterations", "3"}));
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ((result.err + result.out).find_first_of("\r\x1b"), std::string::npos);
  EXPECT_NE(result.err.find("iteration 3/3"), std::string::npos) << result.err;
}

TEST(SampleGan, ASeedsImageDoesNotDependOnItsCompanions) {
  const TemporaryFolder folder;
  ASSERT_EQ(run(folder, kTrainGan, small_run({"--iterations", "3"})).exit_code, 0);
  const auto raw = [&](const std::string& seeds) {
    const auto result = run(folder, kSampleGan, {"runs/latest", "--seeds", seeds, "-o", "x.png", "--raw", "x.bin"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return read_bytes(folder / "x.bin");
  };
  const std::string all = raw("0-63"), few = raw("41,7"), one = raw("41");
  ASSERT_EQ(all.size(), size_t{64 * 3072});
  EXPECT_EQ(one, all.substr(41 * 3072, 3072));
  EXPECT_EQ(few, one + all.substr(7 * 3072, 3072));
  const std::string checkpoint = "runs/latest/checkpoints/step-00000003.safetensors";
  for (const std::vector<std::string>& more :
       {std::vector<std::string>{"--weights", "live"}, {"--batch-norm", "batch"}, {"--columns", "3", "--scale", "4"}}) {
    std::vector<std::string> arguments = {checkpoint, "-o", "y.png"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    EXPECT_EQ(run(folder, kSampleGan, arguments).exit_code, 0);
  }
}

TEST(SampleGan, DrawsTheWayBetweenTwoSeedsAsGridFramesAndBytes) {
  const TemporaryFolder folder;
  ASSERT_EQ(run(folder, kTrainGan, small_run({"--iterations", "3"})).exit_code, 0);
  const auto sample = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "runs/latest");
    const auto result = run(folder, kSampleGan, arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out;
  };
  sample({"--seeds", "5,9", "--raw", "ends.bin"});
  const std::string way = sample({"--interpolate", "5-9", "--steps", "4", "--raw", "-"});
  const std::string ends = read_bytes(folder / "ends.bin");
  ASSERT_EQ(way.size(), size_t{4 * 3072}) << "bytes and nothing else";
  EXPECT_EQ(way.substr(0, 3072), ends.substr(0, 3072));
  EXPECT_EQ(way.substr(3 * 3072), ends.substr(3072));
  EXPECT_NE(way.substr(3072, 3072), ends.substr(0, 3072));
  sample({"--interpolate", "5-9", "--steps", "2", "--frames", "film", "--truncation", "0.7", "-o", "strip.png"});
  EXPECT_TRUE(read_bytes(folder / "film/00000.png").starts_with("\x89PNG"));
  EXPECT_NE(read_bytes(folder / "film/00000.png"), read_bytes(folder / "film/00001.png"));
  EXPECT_TRUE(read_bytes(folder / "strip.png").starts_with("\x89PNG"));
}

TEST(SampleGan, BadInputIsRefused) {
  const TemporaryFolder folder;
  write_bytes(folder / "junk.safetensors", std::string(100, '\xff'));
  expect_refusal(run(folder, kSampleGan, {"-o", "x.png"}), 2, {"expected a run directory"});
  expect_refusal(run(folder, kSampleGan, {"nowhere"}), 2, {"--output"});
  expect_refusal(run(folder, kSampleGan, {"nowhere", "-o", "x.png"}), 5, {"nowhere"});
  expect_refusal(run(folder, kSampleGan, {"junk.safetensors", "-o", "x.png"}), 5, {"junk.safetensors"});
  expect_refusal(run(folder, kSampleGan, {"x", "-o", "x.png", "--weights", "eam"}), 2, {"did you mean ema?"});
  expect_refusal(run(folder, kSampleGan, {"x", "-o", "x.png", "--scale", "0"}), 2,
                 {"--scale: expected an integer from 1"});
  for (const char* ends : {"5", "5-", "-9", "a-b", "5-9-1"}) {
    expect_refusal(run(folder, kSampleGan, {"x", "-o", "x.png", "--interpolate", ends}), 2, {"expected two seeds"});
  }
  expect_refusal(run(folder, kSampleGan, {"x", "-o", "x.png", "--truncation", "0"}), 2,
                 {"--truncation: expected a real number from 0.05"});
  expect_refusal(run(folder, kSampleGan, {"x", "-o", "x.png", "--steps", "3"}), 2, {"only with --interpolate"});
  for (const char* seeds : {"", "3-1", "1,", "a", "1-", "-1", "1;2", "0-100000", "99999999999999999999"}) {
    EXPECT_THROW(parse_numbers("seeds", seeds), Error) << seeds;
  }
  EXPECT_EQ(parse_numbers("seeds", "3,1-2,18446744073709551615"),
            (std::vector<uint64_t>{3, 1, 2, 18446744073709551615u}));
  EXPECT_EQ(folder.files(), std::vector<std::string>{"junk.safetensors"});
}

}  // namespace
}  // namespace poise
