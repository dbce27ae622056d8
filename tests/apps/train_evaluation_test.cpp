// Evaluation during training: what it records, that it changes nothing else, and what happens if it fails or is
// interrupted.
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "engine/io/checkpoint.h"
#include "engine/io/npz.h"
#include "tests/support/program_test_tools.h"

namespace poise {
namespace {

using nlohmann::json;
using test::read_bytes;
using test::small_run;
using test::TemporaryFolder;

test::ProgramResult train(const TemporaryFolder& folder, const std::vector<std::string>& arguments) {
  return test::run_program_in({.folder = folder.path()}, POISE_TRAIN_GAN, arguments);
}

std::vector<json> lines_of(const std::string& path) {
  std::istringstream text(read_bytes(path));
  std::vector<json> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(json::parse(line));
  return lines;
}

TEST(TrainEvaluation, IsRecordedWithItsProtocolAndKeepsTheBest) {
  const TemporaryFolder folder;
  const auto result = train(folder, small_run({"--iterations", "5", "--eval-every", "2", "--eval-metric",
                                               "frechet-random", "--eval-images", "250"}));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const std::string run = folder / "runs/latest";
  const std::vector<json> lines = lines_of(run + "/metrics.jsonl");
  ASSERT_EQ(lines.size(), 3u);  // at 2, 4, and the last iteration
  json best = lines[0];
  for (const json& line : lines) {
    EXPECT_EQ(line["metric"], "frechet-random");
    EXPECT_GT(line["frechet-random"].get<double>(), 0);
    EXPECT_EQ(line["images"], 250);
    EXPECT_EQ(line["reference_images"], 2000);
    EXPECT_EQ(line["reference_split"], "train");
    EXPECT_EQ(line["weights"], "ema");
    EXPECT_EQ(line["batch_norm"], "batch");
    EXPECT_EQ(line["quantisation"], "truncate");
    EXPECT_EQ(line["network"], "random-features");
    EXPECT_GT(line["evaluation_seconds"].get<double>(), 0);
    if (line["frechet-random"] < best["frechet-random"]) best = line;
  }
  const auto pinned = CheckpointStore(run + "/checkpoints", 3).best();
  ASSERT_TRUE(pinned.has_value());
  EXPECT_EQ(pinned->metric, "frechet-random");
  EXPECT_EQ(pinned->step, best["iteration"].get<int64_t>());
  EXPECT_EQ(pinned->score, best["frechet-random"].get<double>());
  EXPECT_NE(read_bytes(run + "/report.html").find("<title>frechet-random</title>"), std::string::npos);
  EXPECT_NE(read_bytes(run + "/report.md").find("| best | " + std::to_string(pinned->step)), std::string::npos);
  EXPECT_NE(result.out.find("frechet-random best"), std::string::npos) << result.out;
}

TEST(TrainEvaluation, LargerPrecisionAndRecallAreBetter) {
  const TemporaryFolder folder;
  const auto result = train(folder, small_run({"--iterations", "4", "--eval-every", "2", "--eval-metric",
                                               "precision-recall-random", "--eval-images", "200"}));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const std::string run = folder / "runs/latest";
  for (const json& line : lines_of(run + "/metrics.jsonl")) {
    const double precision = line["precision"], recall = line["recall"], sum = precision + recall;
    EXPECT_DOUBLE_EQ(line["precision-recall-random"].get<double>(), sum > 0 ? 2 * precision * recall / sum : 0);
    EXPECT_EQ(line["neighbours"], 3);
    EXPECT_EQ(line["reference_images"], 2000);
  }
  const std::string report = read_bytes(run + "/report.html");
  EXPECT_NE(report.find("<title>precision-recall-random</title>"), std::string::npos);
  EXPECT_NE(report.find("(higher is better)"), std::string::npos);
}

TEST(TrainEvaluation, ChangesNoBitOfTheTraining) {
  const TemporaryFolder folder;
  const auto run = [&](const std::string& runs, std::vector<std::string> more) {
    std::vector<std::string> arguments = small_run({"--iterations", "6", "--runs", runs});
    arguments.insert(arguments.end(), more.begin(), more.end());
    EXPECT_EQ(train(folder, arguments).exit_code, 0);
    return read_bytes(CheckpointStore(folder / runs + "/latest/checkpoints", 1).path_of(6));
  };
  const std::string without = run("without", {});
  EXPECT_FALSE(without.empty());
  EXPECT_EQ(run("with", {"--eval-every", "2", "--eval-metric", "frechet-random", "--eval-images", "100"}), without);
}

// The reference of an interrupted run is kept, so the continued run gets the same results.
TEST(TrainEvaluation, ContinuesAfterAnInterruption) {
  const TemporaryFolder folder;
  const auto run = [&](const std::string& runs, const std::string& iterations) {
    return small_run({"--iterations", iterations, "--runs", runs, "--eval-every", "2", "--eval-metric",
                      "frechet-random", "--eval-images", "100"});
  };
  ASSERT_EQ(train(folder, run("whole", "4")).exit_code, 0);
  ASSERT_EQ(train(folder, run("parts", "2")).exit_code, 0);
  ASSERT_EQ(train(folder, {"--resume", "parts/latest", "--iterations", "4"}).exit_code, 0);
  const auto values = [&](const std::string& runs) {
    std::vector<double> all;
    for (const json& line : lines_of(folder / runs + "/latest/metrics.jsonl")) all.push_back(line["frechet-random"]);
    return all;
  };
  EXPECT_EQ(values("parts").size(), 2u);
  EXPECT_EQ(values("parts"), values("whole"));
}

TEST(TrainEvaluation, TrainingSurvivesItsFailure) {
  const TemporaryFolder folder;
  const auto result = train(folder, small_run({"--iterations", "3", "--eval-every", "2", "--eval-metric",
                                               "precision-recall-random", "--eval-images", "3"}));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("warning: iteration 2: no precision-recall-random"), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("at least 4 images"), std::string::npos) << result.err;
  EXPECT_TRUE(lines_of(folder / "runs/latest/metrics.jsonl").empty());
  EXPECT_EQ(test::last_logged_iteration(folder / "runs/latest"), 3);
}

TEST(TrainEvaluation, AReferenceThatIsNoneStopsBeforeTraining) {
  const TemporaryFolder folder;
  std::vector<NpyArray> broken = {{.name = "mu", .shape = {192}, .values = std::vector<double>(192)},
                                  {.name = "sigma", .shape = {192, 192}, .values = std::vector<double>(192 * 192)}};
  broken[0].values[3] = std::numeric_limits<double>::quiet_NaN();
  write_npz(folder / "broken.npz", broken);
  const auto result = train(folder, small_run({"--iterations", "3", "--eval-every", "2", "--eval-metric",
                                               "frechet-random", "--eval-reference", "broken.npz"}));
  EXPECT_EQ(result.exit_code, 4) << result.err;
  EXPECT_NE(result.err.find("not finite"), std::string::npos) << result.err;
  EXPECT_TRUE(test::run_directories(folder / "runs").empty());
}

// A run that is interrupted while it writes its reference leaves an incomplete one.
TEST(TrainEvaluation, ADamagedReferenceIsMadeAnew) {
  const TemporaryFolder folder;
  const std::vector<std::string> more = {"--eval-every",  "2",  "--eval-metric", "frechet-random",
                                         "--eval-images", "100"};
  std::vector<std::string> first = small_run({"--iterations", "2"});
  first.insert(first.end(), more.begin(), more.end());
  ASSERT_EQ(train(folder, first).exit_code, 0);
  const std::string reference = folder / "runs/latest/reference.npz", whole = read_bytes(reference);
  test::write_bytes(reference, whole.substr(0, whole.size() / 2));
  const auto result = train(folder, {"--resume", "runs/latest", "--iterations", "4"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(read_bytes(reference), whole);
  EXPECT_EQ(lines_of(folder / "runs/latest/metrics.jsonl").size(), 2u);
}

// 100 images always score worse than 200, so the best result with one setting says nothing about another.
TEST(TrainEvaluation, BestComparesOnlyWhatWasMeasuredAlike) {
  const TemporaryFolder folder;
  ASSERT_EQ(train(folder, small_run({"--iterations", "2", "--eval-every", "2", "--eval-metric", "frechet-random",
                                     "--eval-images", "200"}))
                .exit_code,
            0);
  const auto best = [&] { return CheckpointStore(folder / "runs/latest/checkpoints", 3).best(); };
  const auto first = best();
  ASSERT_EQ(first->step, 2);
  const auto other = train(folder, {"--resume", "runs/latest", "--iterations", "4", "--eval-images", "100"});
  EXPECT_EQ(other.exit_code, 0) << other.err;
  EXPECT_NE(other.err.find("was measured differently; a new one begins"), std::string::npos) << other.err;
  EXPECT_EQ(best()->step, 4);
  EXPECT_NE(best()->protocol, first->protocol);
  const auto same = train(folder, {"--resume", "runs/latest", "--iterations", "6"});
  EXPECT_EQ(same.exit_code, 0) << same.err;
  EXPECT_EQ(same.err.find("was measured differently"), std::string::npos) << same.err;
  EXPECT_EQ(best()->protocol.find("iteration"), std::string::npos) << best()->protocol;
}

TEST(TrainEvaluation, HonoursSignals) {
  const TemporaryFolder folder;
  test::RunningProgram program(POISE_TRAIN_GAN,
                               small_run({"--iterations", "1000", "--eval-every", "2", "--eval-metric",
                                          "frechet-random", "--eval-images", "9000000"}),
                               {.folder = folder.path()});
  const std::string run = folder / "runs/latest";
  ASSERT_TRUE(program.wait_until([&] { return !read_bytes(run + "/reference.npz").empty(); }));  // it is evaluating
  const auto sent = std::chrono::steady_clock::now();
  program.send(SIGTERM);
  const auto result = program.wait();
  EXPECT_EQ(result.exit_code, 75) << result.err;
  EXPECT_LT(std::chrono::steady_clock::now() - sent, std::chrono::seconds(10));
  EXPECT_NE(result.err.find("iteration 2: evaluation interrupted"), std::string::npos) << result.err;
  EXPECT_EQ(CheckpointStore(run + "/checkpoints", 3).newest_valid().step, 2);
}

// An evaluation interrupted in the last iteration is caught up on, and the run is not finished before that.
TEST(TrainEvaluation, AnInterruptedEvaluationIsMadeByTheResumedRun) {
  const TemporaryFolder folder;
  const std::vector<std::string> options = {
      "--iterations", "2", "--eval-every", "2", "--eval-metric", "frechet-random", "--eval-images", "9000000"};
  test::RunningProgram program(POISE_TRAIN_GAN, small_run(options), {.folder = folder.path()});
  const std::string run = folder / "runs/latest";
  ASSERT_TRUE(program.wait_until([&] { return !read_bytes(run + "/reference.npz").empty(); }));
  program.send(SIGTERM);
  const auto stopped = program.wait();
  EXPECT_EQ(stopped.exit_code, 75) << stopped.err;
  EXPECT_TRUE(read_bytes(run + "/metrics.jsonl").empty());
  const auto resumed = train(folder, {"--resume", "runs/latest", "--eval-images", "200"});
  EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_NE(read_bytes(run + "/metrics.jsonl").find("\"iteration\": 2, \"metric\": \"frechet-random\""),
            std::string::npos);
  EXPECT_EQ(resumed.out.find("nothing left to do"), std::string::npos) << resumed.out;
  EXPECT_NE(train(folder, {"--resume", "runs/latest"}).out.find("nothing left to do"), std::string::npos);
  // The recorded origins of the options are unchanged.
  EXPECT_EQ(read_bytes(run + "/config.toml").find("/config.toml, line"), std::string::npos);
}

TEST(TrainEvaluation, AsksForWeightsBeforeTraining) {
  const TemporaryFolder folder;
  const auto result = test::run_program_in(
      {.folder = folder.path(), .environment = {"XDG_DATA_HOME=/nowhere", "POISE_INCEPTION=auto"}}, POISE_TRAIN_GAN,
      small_run({"--iterations", "3", "--eval-every", "2", "--eval-metric", "fid"}));
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_NE(result.err.find("frechet-random, which needs none"), std::string::npos) << result.err;
  const auto planned = test::run_program_in(
      {.folder = folder.path(), .environment = {"XDG_DATA_HOME=/nowhere", "POISE_INCEPTION=auto"}}, POISE_TRAIN_GAN,
      small_run({"--iterations", "3", "--eval-every", "2", "--eval-metric", "fid", "--dry-run"}));
  EXPECT_EQ(planned.exit_code, 2) << planned.err;
  EXPECT_TRUE(test::run_directories(folder / "runs").empty());
}

}  // namespace
}  // namespace poise
