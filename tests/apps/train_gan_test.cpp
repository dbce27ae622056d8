// End-to-end tests of train_gan: interrupted, killed, continued. Whatever happens, the run directory can be continued,
// and the results have the same bytes as those of an uninterrupted run.
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "engine/io/checkpoint.h"
#include "kernels/core/philox.h"
#include "tests/support/program_test_tools.h"

namespace poise {
namespace {

using test::last_logged_iteration;
using test::names_in;
using test::ProgramResult;
using test::read_bytes;
using test::run_directories;
using test::RunningProgram;
using test::small_run;
using test::TemporaryFolder;

const std::string kTrainGan = POISE_TRAIN_GAN;

ProgramResult train(const TemporaryFolder& folder, const std::vector<std::string>& arguments) {
  return test::run_program_in({.folder = folder.path()}, kTrainGan, arguments);
}

std::string checkpoint(const std::string& run, int64_t step) {
  return CheckpointStore(run + "/checkpoints", 1).path_of(step);
}

// The only run in folder/runs.
std::string only_run(const TemporaryFolder& folder, const std::string& runs = "runs") {
  const auto names = run_directories(folder / runs);
  EXPECT_EQ(names.size(), 1u);
  return names.empty() ? "" : folder / runs + "/" + names[0];
}

// A program that was moved finds its presets relative to itself, not where it was built.
TEST(TrainGan, AMovedProgramFindsWhatCameWithIt) {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "bin");
  std::filesystem::copy_file(kTrainGan, folder / "bin/train_gan");
  const auto plan = [&] {
    return test::run_program_in({.folder = folder.path()}, folder / "bin/train_gan", {"--preset", "own", "--dry-run"});
  };
  EXPECT_EQ(plan().exit_code, 2);
  std::filesystem::create_directories(folder / "share/poise/presets");
  std::ofstream(folder / "share/poise/presets/own.toml")
      << "[model]\nmodel = \"sngan32\"\nwidth_g = 12\nwidth_d = 4\n[train]\n"
      << "batch_size_d = 2\nbatch_size_g = 2\nn_critic = 1\n";
  const auto moved = plan();
  EXPECT_EQ(moved.exit_code, 0) << moved.err;
}

TEST(TrainGan, InterruptedEqualsUninterruptedBitForBit) {
  const TemporaryFolder folder;
  const auto whole = train(folder, small_run({"--runs", "whole", "--iterations", "20", "--eval-every", "10"}));
  ASSERT_EQ(whole.exit_code, 0) << whole.err;
  ASSERT_EQ(train(folder, small_run({"--runs", "parts", "--iterations", "10", "--eval-every", "10"})).exit_code, 0);
  const auto second = train(folder, {"--resume", "parts/latest", "--iterations", "20"});
  ASSERT_EQ(second.exit_code, 0) << second.err;
  const std::string a = only_run(folder, "whole"), b = only_run(folder, "parts");
  for (const int64_t step : {15, 20}) {
    EXPECT_FALSE(read_bytes(checkpoint(a, step)).empty());
    EXPECT_EQ(read_bytes(checkpoint(a, step)), read_bytes(checkpoint(b, step))) << "step " << step;
  }
  EXPECT_EQ(read_bytes(a + "/samples/fakes_000020.png"), read_bytes(b + "/samples/fakes_000020.png"));
  EXPECT_EQ(last_logged_iteration(b), 20);
}

// The mask updates in train.jsonl.
std::vector<std::string> mask_lines(const std::string& run) {
  std::istringstream log(read_bytes(run + "/train.jsonl"));
  std::vector<std::string> lines;
  for (std::string line; std::getline(log, line);) {
    if (line.starts_with(R"({"event": "mask_update")")) lines.push_back(line);
  }
  return lines;
}

TEST(TrainGan, InterruptedSparseRunsEqualUninterruptedOnesMasksAndAll) {
  const TemporaryFolder folder;
  const auto sparse = [](const std::string& runs, const std::string& iterations) {
    return small_run({"--runs", runs, "--iterations", iterations, "--method", "ddst-relaxed", "--density-g", "0.3",
                      "--schedule-iterations", "20", "--update-every-g", "4", "--update-every-d", "10", "--br-every",
                      "1", "--br-window", "5"});
  };
  ASSERT_EQ(train(folder, sparse("whole", "20")).exit_code, 0);
  ASSERT_EQ(train(folder, sparse("parts", "9")).exit_code, 0);
  const auto second = train(folder, {"--resume", "parts/latest", "--iterations", "20"});
  ASSERT_EQ(second.exit_code, 0) << second.err;
  const std::string a = only_run(folder, "whole"), b = only_run(folder, "parts");
  EXPECT_EQ(read_bytes(checkpoint(a, 20)), read_bytes(checkpoint(b, 20)));
  // Two initial ones; G at 4, 8, 12, 16; D at 10.
  EXPECT_EQ(mask_lines(a).size(), 7u);
  EXPECT_EQ(mask_lines(a), mask_lines(b));
  EXPECT_EQ(last_logged_iteration(b), 20);
}

TEST(TrainGan, ThreadCountDoesNotChangeABit) {
  const TemporaryFolder folder;
  for (const char* threads : {"1", "2"}) {
    // Wider than the networks of the other tests, so that there is work to share between threads.
    const auto result = train(
        folder, small_run({"--runs", std::string("t") + threads, "--iterations", "4", "--width-g", "16", "--width-d",
                           "16", "--batch-size-d", "8", "--batch-size-g", "8", "--threads", threads}));
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }
  EXPECT_EQ(read_bytes(checkpoint(only_run(folder, "t1"), 4)), read_bytes(checkpoint(only_run(folder, "t2"), 4)));
  EXPECT_EQ(read_bytes(only_run(folder, "t1") + "/samples/fakes_000004.png"),
            read_bytes(only_run(folder, "t2") + "/samples/fakes_000004.png"));
}

TEST(TrainGan, SurvivesKillsAtAnyMoment) {
  constexpr int kKills = 24;
  constexpr int64_t kCheckpointEvery = 5;
  const TemporaryFolder folder;
  const std::vector<std::string> fresh =
      small_run({"--iterations", "1000000", "--sample-every", "7", "--eval-every", "20", "--keep-checkpoints", "2"});
  int kills = 0, with_progress = 0;
  for (uint64_t attempt = 0; kills < kKills && attempt < 100; ++attempt) {
    const bool exists = !run_directories(folder / "runs").empty();
    const int64_t reached = exists ? last_logged_iteration(only_run(folder)) : -1;
    if (exists) {
      const CheckpointStore store(only_run(folder) + "/checkpoints", 1);
      const int64_t saved = store.newest_valid().step;  // throws if the directory cannot be continued
      EXPECT_LE(reached - saved, kCheckpointEvery) << "more than one checkpoint interval lost";
    }
    RunningProgram program(kTrainGan, exists ? std::vector<std::string>{"--resume", only_run(folder)} : fresh,
                           {.folder = folder.path()});
    // Half of the kills come at any time, including startup; the others after new iterations, when files are written.
    const uint32_t random = philox4x32(7, attempt, static_cast<uint32_t>(RandomStream::test), 0).x[0];
    if (attempt % 2 == 1) {
      program.wait_until([&] {
        return !run_directories(folder / "runs").empty() && last_logged_iteration(only_run(folder)) > reached + 2;
      });
    }
    RunningProgram::pause_ms(static_cast<int>(random % 300));
    program.send(SIGKILL);
    const ProgramResult result = program.wait();
    ASSERT_EQ(result.exit_code, -SIGKILL) << result.err;
    ++kills;
    if (run_directories(folder / "runs").size() == 1 && last_logged_iteration(only_run(folder)) > reached)
      ++with_progress;
  }
  EXPECT_EQ(kills, kKills);
  EXPECT_GT(with_progress, kKills / 4) << "the kills came too early to test anything";

  const std::string run = only_run(folder);
  const int64_t end = CheckpointStore(run + "/checkpoints", 1).newest_valid().step + 3;
  const auto resumed = train(folder, {"--resume", run, "--iterations", std::to_string(end)});
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  ASSERT_EQ(train(folder, small_run({"--runs", "quiet", "--iterations", std::to_string(end)})).exit_code, 0);
  EXPECT_EQ(read_bytes(checkpoint(run, end)), read_bytes(checkpoint(only_run(folder, "quiet"), end)));
  for (const std::string& name : {std::string(""), std::string("/samples"), std::string("/checkpoints")}) {
    for (const std::string& file : names_in(run + name)) EXPECT_NE(file[0], '.') << "left behind: " << name << file;
  }
}

TEST(TrainGan, SignalsSaveAndExit75) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) {
    const TemporaryFolder folder;
    RunningProgram program(kTrainGan, small_run({"--iterations", "1000000", "--checkpoint-every", "0"}),
                           {.folder = folder.path()});
    ASSERT_TRUE(program.wait_until(
        [&] { return !run_directories(folder / "runs").empty() && last_logged_iteration(only_run(folder)) >= 2; }));
    program.send(signal);
    const ProgramResult result = program.wait();
    EXPECT_EQ(result.exit_code, 75) << signal << result.err;
    const std::string run = only_run(folder);
    const int64_t stopped_at = last_logged_iteration(run);
    EXPECT_TRUE(std::filesystem::exists(checkpoint(run, stopped_at))) << "the last iteration is saved";
    const std::string name = std::filesystem::path(run).filename();
    EXPECT_EQ(result.out, "resume with: " + kTrainGan + " --resume runs/" + name + "\n");
    const auto resumed = train(folder, {"--resume", run, "--iterations", std::to_string(stopped_at + 1)});
    EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
    EXPECT_EQ(last_logged_iteration(run), stopped_at + 1);
  }
}

TEST(TrainGan, Usr2SavesAndContinues) {
  const TemporaryFolder folder;
  RunningProgram program(kTrainGan, small_run({"--iterations", "1000000", "--checkpoint-every", "0"}),
                         {.folder = folder.path()});
  ASSERT_TRUE(program.wait_until(
      [&] { return !run_directories(folder / "runs").empty() && last_logged_iteration(only_run(folder)) >= 1; }));
  program.send(SIGUSR2);
  const CheckpointStore store(only_run(folder) + "/checkpoints", 1);
  ASSERT_TRUE(program.wait_until([&] { return store.list().back() > 0; }));
  const int64_t saved = store.list().back();
  EXPECT_TRUE(program.wait_until([&] { return last_logged_iteration(only_run(folder)) > saved; }));
  program.send(SIGTERM);
  EXPECT_EQ(program.wait().exit_code, 75);
}

TEST(TrainGan, SecondInterruptExitsAtOnce) {
  const TemporaryFolder folder;
  // Iterations take about a second, so the second signal arrives while the first waits for the iteration to end.
  RunningProgram program(kTrainGan,
                         small_run({"--iterations", "1000000", "--width-g", "64", "--width-d", "64", "--batch-size-d",
                                    "32", "--batch-size-g", "32", "--n-critic", "20"}),
                         {.folder = folder.path()});
  ASSERT_TRUE(program.wait_until([&] { return !run_directories(folder / "runs").empty(); }));
  RunningProgram::pause_ms(100);
  program.send(SIGINT);
  RunningProgram::pause_ms(20);
  program.send(SIGINT);
  EXPECT_EQ(program.wait().exit_code, 130);
  EXPECT_EQ(CheckpointStore(only_run(folder) + "/checkpoints", 1).newest_valid().step, 0);
}

TEST(TrainGan, RunsThatStartTogetherGetTheirOwnNumbers) {
  const TemporaryFolder folder;
  std::vector<std::unique_ptr<RunningProgram>> programs;
  for (int i = 0; i < 5; ++i) {
    programs.push_back(std::make_unique<RunningProgram>(kTrainGan,
                                                        small_run({"--iterations", "1", "--seed", std::to_string(i)}),
                                                        test::ProgramSetting{.folder = folder.path()}));
  }
  for (auto& program : programs) {
    const ProgramResult result = program->wait();
    EXPECT_EQ(result.exit_code, 0) << result.err;
  }
  std::vector<std::string> numbers;
  for (const std::string& name : run_directories(folder / "runs")) numbers.push_back(name.substr(0, 5));
  EXPECT_EQ(numbers, (std::vector<std::string>{"00000", "00001", "00002", "00003", "00004"}));
  for (const std::string& name : names_in(folder / "runs")) EXPECT_NE(name[0], '.') << "left behind: " << name;
  EXPECT_TRUE(std::filesystem::exists(folder / "runs/latest/config.toml"));
}

TEST(TrainGan, ARunDirectoryHasOneWriter) {
  const TemporaryFolder folder;
  RunningProgram program(kTrainGan, small_run({"--iterations", "1000000"}), {.folder = folder.path()});
  ASSERT_TRUE(program.wait_until([&] { return !run_directories(folder / "runs").empty(); }));
  const auto second = train(folder, {"--resume", "runs/latest"});
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_NE(second.err.find("another train_gan is writing"), std::string::npos) << second.err;
}

TEST(TrainGan, FinishedRunsAreLeftAlone) {
  const TemporaryFolder folder;
  ASSERT_EQ(train(folder, small_run({"--iterations", "5"})).exit_code, 0);
  const std::string run = only_run(folder), before = read_bytes(checkpoint(run, 5));
  const auto again = train(folder, {"--resume", run});
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_TRUE(again.out.starts_with("nothing left to do: runs/" + std::filesystem::path(run).filename().string() +
                                    " has all of its 5 iterations; --iterations N asks for more\n"))
      << again.out;
  EXPECT_EQ(read_bytes(checkpoint(run, 5)), before);
  const auto fewer = train(folder, {"--resume", run, "--iterations", "3"});
  EXPECT_EQ(fewer.exit_code, 2);
  EXPECT_NE(fewer.err.find("the run is already at 5 but 3 were requested"), std::string::npos) << fewer.err;
}

TEST(TrainGan, OnlySomeOptionsChangeOnResume) {
  const TemporaryFolder folder;
  ASSERT_EQ(train(folder, small_run({"--iterations", "2"})).exit_code, 0);
  const auto other = train(folder, {"--resume", "runs/latest", "--width-g", "8", "--set", "seed=9"});
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_NE(other.err.find("width_g: the run has 4 but got 8"), std::string::npos) << other.err;
  EXPECT_NE(other.err.find("seed: the run has 1 but got 9"), std::string::npos) << other.err;
  const auto fine =
      train(folder, {"--resume", "runs/latest", "--width-g", "4", "--iterations", "3", "--log-every", "3"});
  EXPECT_EQ(fine.exit_code, 0) << fine.err;
  const auto kept = train(folder, {"--resume", "runs/latest", "--print-config"});
  EXPECT_NE(kept.out.find("log_every = 3 "), std::string::npos) << "a change is kept for the next time";
}

}  // namespace
}  // namespace poise
