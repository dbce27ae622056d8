// train_gan in several processes, started with mpirun as by a user, and with failures.
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cmath>
#include <cstring>

#include "engine/io/checkpoint.h"
#include "kernels/ranks/ranks.h"
#include "tests/support/float_difference.h"
#include "tests/support/program_test_tools.h"

namespace poise {
namespace {

using test::last_logged_iteration;
using test::ProgramResult;
using test::read_bytes;
using test::run_directories;
using test::RunningProgram;
using test::TemporaryFolder;

const std::string kTrainGan = POISE_TRAIN_GAN, kMpirun = POISE_MPIRUN;

// Open MPI must be told to allow more processes than cores, and root. Memory that it does not free is not our leak.
const std::vector<std::string> kMpiSettings = {"OMPI_ALLOW_RUN_AS_ROOT=1",
                                               "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
                                               "OMPI_MCA_rmaps_base_oversubscribe=1",
                                               "OMPI_MCA_hwloc_base_binding_policy=none",
                                               "OMPI_MCA_btl_vader_single_copy_mechanism=none",
                                               "ASAN_OPTIONS=detect_leaks=0",
                                               "HOME=/tmp"};

class TrainRanks : public testing::Test {
 protected:
  void SetUp() override {
    if (kMpirun.empty()) GTEST_SKIP() << "needs MPI: this build has " << ranks_built_with();
  }

  // Runs mpirun -n RANKS train_gan ...
  std::unique_ptr<RunningProgram> start(int ranks, const std::vector<std::string>& arguments) const {
    std::vector<std::string> all = {"-n", std::to_string(ranks), kTrainGan};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return std::make_unique<RunningProgram>(kMpirun, all,
                                            test::ProgramSetting{.folder = folder.path(), .environment = kMpiSettings});
  }
  ProgramResult train(int ranks, const std::vector<std::string>& arguments) const {
    if (ranks > 1) return start(ranks, arguments)->wait();
    return test::run_program_in({.folder = folder.path()}, kTrainGan, arguments);
  }
  // G's masks change every four iterations. Adam's steps are small and smooth, so that rounding is not amplified.
  static std::vector<std::string> run_in(const std::string& runs, const std::vector<std::string>& more) {
    std::vector<std::string> all = {"--runs",
                                    runs,
                                    "--method",
                                    "sdst-rigl",
                                    "--density-g",
                                    "0.3",
                                    "--density-d",
                                    "0.5",
                                    "--update-every-g",
                                    "4",
                                    "--batch-size-d",
                                    "4",
                                    "--batch-size-g",
                                    "4",
                                    "--adam-eps",
                                    "0.001",
                                    "--learning-rate-g",
                                    "2e-5",
                                    "--learning-rate-d",
                                    "2e-5",
                                    "--compare-with-dense",
                                    "0",
                                    "--sync-batch-norm",
                                    "true"};
    all.insert(all.end(), more.begin(), more.end());
    return test::small_run(all);
  }
  std::string only_run(const std::string& runs) const {
    const auto names = run_directories(folder / runs);
    EXPECT_EQ(names.size(), 1u) << runs;
    return names.empty() ? "" : folder / runs + "/" + names[0];
  }
  // Waits until the run has logged iteration `t`.
  bool reaches(RunningProgram& program, const std::string& runs, int64_t t) const {
    return program.wait_until([&] {
      const auto names = run_directories(folder / runs);
      return !names.empty() && last_logged_iteration(folder / runs + "/" + names[0]) >= t;
    });
  }
  // The process of a rank among the children of mpirun; 0 if there is none.
  static pid_t process_of(const RunningProgram& program, int rank) {
    const std::string wanted = std::string("OMPI_COMM_WORLD_RANK=") + std::to_string(rank) + '\0';
    for (const pid_t child : program.children()) {
      if (('\0' + read_bytes("/proc/" + std::to_string(child) + "/environ")).find('\0' + wanted) != std::string::npos)
        return child;
    }
    return 0;
  }

  const TemporaryFolder folder;
};

SafetensorsFile newest(const std::string& run) { return CheckpointStore(run + "/checkpoints", 9).newest_valid().file; }

// The largest difference of weights. Masks must be equal.
double difference(const SafetensorsFile& a, const SafetensorsFile& b) {
  double worst = 0;
  for (const std::string& name : a.names()) {
    const auto left = a.at(name).bytes, right = b.at(name).bytes;
    if (left.size() != right.size()) return INFINITY;
    if (name.find(".mask.") != std::string::npos) {
      EXPECT_EQ(std::memcmp(left.data(), right.data(), left.size()), 0) << name;
    }
    if (!name.ends_with(".weight") || name.find(".adam_") != std::string::npos ||
        name.find(".mask.") != std::string::npos)
      continue;
    worst = std::max(worst, test::float_difference(left, right).worst);
  }
  return worst;
}

// A signal to one rank stops all ranks, and the run can be continued with any number of ranks.
TEST_F(TrainRanks, StoppedAndContinuedWithAnyNumberOfRanks) {
  const ProgramResult whole = train(2, run_in("whole", {"--iterations", "40"}));
  ASSERT_EQ(whole.exit_code, 0) << whole.err;
  const std::string whole_run = only_run("whole");
  EXPECT_NE(read_bytes(whole_run + "/log.txt").find("2 ranks on "), std::string::npos);
  EXPECT_NE(read_bytes(whole_run + "/train.jsonl").find("\"ranks\": 2, \"exchanged_bytes\": "), std::string::npos);

  const auto stopped = start(2, run_in("parts", {"--iterations", "40"}));
  ASSERT_TRUE(reaches(*stopped, "parts", 5));
  ::kill(process_of(*stopped, 1), SIGTERM);
  const ProgramResult result = stopped->wait();
  EXPECT_EQ(result.exit_code, 75) << result.err;
  EXPECT_NE(result.err.find("stopped by SIGTERM to rank 1 on "), std::string::npos) << result.err;
  const std::string run = only_run("parts");
  const SafetensorsFile expected = newest(whole_run);
  for (const int ranks : {1, 2, 4}) {
    const std::string copy = folder / "copy" + std::to_string(ranks);
    std::filesystem::copy(run, copy, std::filesystem::copy_options::recursive);
    const ProgramResult resumed = train(ranks, {"--resume", copy});
    ASSERT_EQ(resumed.exit_code, 0) << ranks << ": " << resumed.err;
    EXPECT_EQ(last_logged_iteration(copy), 40);
    if (ranks == 2) {
      EXPECT_EQ(read_bytes(copy + "/checkpoints/step-00000040.safetensors"),
                read_bytes(whole_run + "/checkpoints/step-00000040.safetensors"));
    }
    EXPECT_LE(difference(newest(copy), expected), 1e-4) << ranks;
  }
}

double seconds_until_end(RunningProgram& program) {
  const auto start = std::chrono::steady_clock::now();
  program.wait();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

TEST_F(TrainRanks, AKilledRankEndsTheOthersAndTheRunGoesOn) {
  const auto program = start(2, run_in("runs", {"--iterations", "100000"}));
  ASSERT_TRUE(reaches(*program, "runs", 6));
  ::kill(process_of(*program, 1), SIGKILL);
  EXPECT_LT(seconds_until_end(*program), 20);
  const ProgramResult result = program->wait();
  EXPECT_EQ(result.exit_code, 128 + SIGKILL) << result.err;
  EXPECT_NE((result.out + result.err).find("rank 1"), std::string::npos) << result.out << result.err;
  const std::string run = only_run("runs");
  const int64_t step = CheckpointStore(run + "/checkpoints", 9).newest_valid().step;
  const ProgramResult resumed = train(2, {"--resume", run, "--iterations", std::to_string(step + 3)});
  EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
}

TEST_F(TrainRanks, KilledWhileItWritesCheckpoints) {
  for (const int milliseconds : {0, 3, 9}) {
    const std::string runs = "runs" + std::to_string(milliseconds);
    const auto program =
        start(2, run_in(runs, {"--iterations", "100000", "--checkpoint-every", "1", "--width-g", "32"}));
    ASSERT_TRUE(reaches(*program, runs, 2));
    const std::string folder_of_checkpoints = only_run(runs) + "/checkpoints";
    ASSERT_TRUE(program->wait_until([&] {  // until a file is being written
      for (const std::string& name : test::names_in(folder_of_checkpoints)) {
        if (!name.ends_with(".safetensors")) return true;
      }
      return false;
    }) || milliseconds > 0);
    RunningProgram::pause_ms(milliseconds);
    ::kill(process_of(*program, 0), SIGKILL);
    EXPECT_LT(seconds_until_end(*program), 20);
    const int64_t step = CheckpointStore(folder_of_checkpoints, 9).newest_valid().step;
    EXPECT_GE(step, 1);
    const ProgramResult resumed =
        train(2, {"--resume", only_run(runs), "--iterations", std::to_string(step + 2), "--checkpoint-every", "0"});
    EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
  }
}

TEST_F(TrainRanks, ARankThatHangsIsNamed) {
  const auto program = start(2, run_in("runs", {"--iterations", "100000", "--rank-timeout", "2"}));
  ASSERT_TRUE(reaches(*program, "runs", 3));
  ::kill(process_of(*program, 1), SIGSTOP);
  EXPECT_LT(seconds_until_end(*program), 20);
  const ProgramResult result = program->wait();
  EXPECT_EQ(result.exit_code, static_cast<int>(ErrorKind::ranks)) << result.err;
  EXPECT_NE(result.err.find("waited 2 seconds (rank_timeout) for rank 1 on "), std::string::npos) << result.err;
}

TEST_F(TrainRanks, AHangingEvaluationIsNoticedToo) {
  const auto program = start(2, run_in("runs", {"--iterations", "100000", "--rank-timeout", "2", "--eval-every", "2",
                                                "--eval-metric", "frechet-random", "--eval-images", "1000000"}));
  ASSERT_TRUE(reaches(*program, "runs", 2));
  RunningProgram::pause_ms(500);  // the evaluation after iteration 2 takes minutes
  ::kill(process_of(*program, 0), SIGSTOP);
  EXPECT_LT(seconds_until_end(*program), 20);
  const ProgramResult result = program->wait();
  EXPECT_EQ(result.exit_code, static_cast<int>(ErrorKind::ranks)) << result.err;
  EXPECT_NE(result.err.find("waited 2 seconds (rank_timeout) for rank 0 on "), std::string::npos) << result.err;
}

TEST_F(TrainRanks, WhatAllDoWrongIsSaidOnce) {
  const ProgramResult result = train(2, run_in("runs", {"--batch-size-d", "3"}));
  EXPECT_EQ(result.exit_code, static_cast<int>(ErrorKind::usage)) << result.err;
  const size_t first = result.err.find("must divide them");
  ASSERT_NE(first, std::string::npos) << result.err;
  EXPECT_EQ(result.err.find("must divide them", first + 1), std::string::npos) << result.err;
  const ProgramResult version = train(2, {"--version"});
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_EQ(std::count(version.out.begin(), version.out.end(), '\n'), 1) << version.out;
}

// Started as by torchrun --no-python --nproc-per-node 2: the first process becomes mpirun.
TEST_F(TrainRanks, TorchrunOnOneHostLeavesThemToMpirun) {
  const auto start_as = [&](const std::string& rank) {
    std::vector<std::string> environment = kMpiSettings;
    for (const std::string& more : {"RANK=" + rank, "LOCAL_RANK=" + rank, std::string("WORLD_SIZE=2"),
                                    std::string("LOCAL_WORLD_SIZE=2"), std::string("MASTER_ADDR=localhost")}) {
      environment.push_back(more);
    }
    return test::run_program_in({.folder = folder.path(), .environment = environment}, kTrainGan,
                                run_in("runs", {"--iterations", "2"}));
  };
  const ProgramResult other = start_as("1");
  EXPECT_EQ(other.exit_code, 0) << other.err;
  EXPECT_EQ(other.out + other.err, "");
  const ProgramResult first = start_as("0");
  EXPECT_EQ(first.exit_code, 0) << first.err;
  EXPECT_NE((first.out + first.err).find("2 ranks"), std::string::npos) << first.out << first.err;
  EXPECT_EQ(run_directories(folder.path() + "/runs").size(), 1u);
}

// Started by a launcher other than MPI, or in a build without MPI.
TEST(RanksWithoutMpi, AreRefusedWithWhatIsMissing) {
  const TemporaryFolder folder;
  const ProgramResult result = test::run_program_in(
      {.folder = folder.path(), .environment = {"WORLD_SIZE=2", "HOME=/tmp", "OMPI_ALLOW_RUN_AS_ROOT=1"}}, kTrainGan,
      {"--preset", "tiny"});
  EXPECT_EQ(result.exit_code, static_cast<int>(ErrorKind::environment)) << result.err;
  EXPECT_NE(result.err.find("started as one of 2 processes by torchrun"), std::string::npos) << result.err;
  EXPECT_NE(result.err.find(kMpirun.empty() ? "libopenmpi-dev" : "mpirun --host"), std::string::npos) << result.err;
}

}  // namespace
}  // namespace poise
