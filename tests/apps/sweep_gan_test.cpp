// End-to-end tests of sweep_gan: whole sweeps of tiny runs, interrupted in various ways, and their summaries.
#include <gtest/gtest.h>
#include <signal.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <random>

#include "apps/run/run_record.h"
#include "tests/support/program_test_tools.h"

namespace poise {
namespace {

using nlohmann::json;
using test::ProgramResult;
using test::RunningProgram;
using test::TemporaryFolder;
using test::write_bytes;

// Twelve runs with a few milliseconds per iteration. `execution` is fixed, because auto depends on measurements, and
// kernels that round differently would make two sweeps differ.
const std::string kTwelve = R"(seeds = [1, 2, 3]

[options]
width_g = 4
width_d = 4
latent_size = 8
batch_size_d = 2
batch_size_g = 2
n_critic = 1
iterations = 12
sample_count = 4
sample_every = 0
checkpoint_every = 3
log_every = 1
eval_every = 6
eval_metric = "swd"
execution = "dense"
update_every_g = 4
br_every = 1
br_window = 4

[[grid]]
method = ["static", "sdst-rigl"]
density_g = [0.3, 0.6]
)";

ProgramResult sweep(const std::vector<std::string>& arguments) {
  return test::run_program_in({}, POISE_SWEEP_GAN, arguments);
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::string config_in(const TemporaryFolder& folder, const std::string& text = kTwelve) {
  write_bytes(folder / "grid.toml", text);
  return folder / "grid.toml";
}

// The summary without the entries that differ between two identical sweeps, such as times and rates.
json summary_of(const std::string& folder) {
  json all = json::parse(test::read_bytes(folder + "/summary.json"));
  all.erase("written");
  for (const char* part : {"cells", "runs"}) {
    for (json& entry : all[part]) {
      entry["numbers"].erase("seconds");
      entry["numbers"].erase("iterations/s");
      for (json& record : entry["evaluations"]) {
        record.erase("source");  // contains the path
        record.erase("evaluation_seconds");
      }
    }
  }
  return all;
}

TEST(SweepGan, TwelveRunsAndWhatTheySay) {
  const TemporaryFolder folder;
  const std::string where = folder / "sweep";
  const ProgramResult result = sweep({where, "--config", config_in(folder), "--threads", "2"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(contains(result.err, "12 runs, 0 of them finished; 2 at a time")) << result.err;
  EXPECT_TRUE(contains(result.err, "12 of 12 runs finished")) << result.err;
  EXPECT_TRUE(contains(result.err, "ETA ")) << result.err;
  EXPECT_EQ(test::run_directories(where + "/runs").size(), 12u);

  const json all = json::parse(test::read_bytes(where + "/summary.json"));
  ASSERT_EQ(all["cells"].size(), 4u);
  ASSERT_EQ(all["runs"].size(), 12u);
  std::map<std::string, std::vector<double>> last;  // by cell
  std::string metric;
  for (const std::string& name : test::run_directories(where + "/runs")) {
    const RunRecord run = read_run(where + "/runs/" + name);
    ASSERT_EQ(run.metrics().size(), 1u);
    metric = run.metrics()[0].name;
    const std::string label = name.substr(6, name.rfind("-seed") - 6);
    last[label].push_back(run.last(metric));
  }
  for (const json& cell : all["cells"]) {
    const std::vector<double>& values = last[cell["label"]];
    ASSERT_EQ(values.size(), 3u);
    const double mean = (values[0] + values[1] + values[2]) / 3;
    double squares = 0;
    for (const double value : values) squares += (value - mean) * (value - mean);
    const json& number = cell["numbers"][metric + ", last"];
    EXPECT_NEAR(number["mean"].get<double>(), mean, 1e-12 * mean);
    EXPECT_NEAR(number["deviation"].get<double>(), std::sqrt(squares / 2), 1e-9 * mean);
    EXPECT_EQ(number["seeds"], 3);
    EXPECT_GT(cell["numbers"]["seconds"]["mean"].get<double>(), 0);
    EXPECT_GT(cell["numbers"]["FLOP dense"]["mean"].get<double>(), 0);
  }
  // The runs are ordered by seed first.
  EXPECT_EQ(all["runs"][3]["seed"], 1);
  EXPECT_EQ(all["runs"][4]["seed"], 2);

  const std::string text = test::read_bytes(where + "/summary.md"), page = test::read_bytes(where + "/summary.html");
  EXPECT_TRUE(contains(text, "| # | method | density_g | seeds |")) << text;
  EXPECT_TRUE(contains(text, "| 4 | sdst-rigl | 0.6 | 3/3 |")) << text;
  for (const char* part : {"against time", "class=\"front\"", "class=\"spread f0\"", "balance ratio over iterations"}) {
    EXPECT_TRUE(contains(page, part)) << part;
  }
  EXPECT_GE(test::names_in(where + "/figures").size(), 3u);

  // Nothing is repeated, and further seeds only add their own runs.
  const ProgramResult again = sweep({where});
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_TRUE(contains(again.err, "12 runs, 12 of them finished")) << again.err;
  EXPECT_FALSE(contains(again.err, "trains")) << again.err;
  EXPECT_EQ(sweep({where, "--seeds", "1,2,3,4"}).exit_code, 0);
  EXPECT_EQ(test::run_directories(where + "/runs").size(), 16u);
  EXPECT_EQ(json::parse(test::read_bytes(where + "/summary.json"))["cells"][0]["numbers"][metric + ", last"]["seeds"],
            4);
}

// The environment variables that were set when a sweep began are part of it.
TEST(SweepGan, KeepsWhatVariablesSaid) {
  const TemporaryFolder folder;
  const std::string where = folder / "sweep";
  test::ProgramSetting setting;
  setting.environment = {"POISE_LEARNING_RATE_G=0.0003"};
  const ProgramResult first = test::run_program_in(
      setting, POISE_SWEEP_GAN, {where, "--config", config_in(folder), "--vary", "density_g=0.3", "--seeds", "1"});
  ASSERT_EQ(first.exit_code, 0) << first.err;
  EXPECT_TRUE(contains(test::read_bytes(where + "/sweep.toml"), "learning_rate_g = 0.0003"));
  const ProgramResult longer = sweep({where, "--iterations", "15"});
  EXPECT_EQ(longer.exit_code, 0) << longer.err;
  EXPECT_TRUE(contains(longer.err, "trains from iteration 12")) << longer.err;
}

// Ten kills at random times, of the program alone or together with the runs that it has started.
TEST(SweepGan, KilledAtRandomMomentsItEndsAsIfItHadNotBeen) {
  const TemporaryFolder folder;
  const std::string config = config_in(folder), whole = folder / "whole", killed = folder / "killed";
  const ProgramResult uninterrupted = sweep({whole, "--config", config, "--threads", "2"});
  ASSERT_EQ(uninterrupted.exit_code, 0) << uninterrupted.err;
  std::mt19937 random(std::random_device{}());
  int kills = 0;
  for (int i = 0; i < 10; ++i) {
    RunningProgram program(POISE_SWEEP_GAN, {killed, "--config", config, "--threads", "2"}, {});
    const int wait = std::uniform_int_distribution<int>(20, 900)(random);
    for (int waited = 0; waited < wait && program.running(); waited += 10) RunningProgram::pause_ms(10);
    std::vector<pid_t> children;
    if (i % 2 == 1) children = program.children();
    kills += program.running();
    program.send(SIGKILL);
    for (const pid_t child : children) ::kill(child, SIGKILL);
    program.wait();
  }
  EXPECT_GE(kills, 3) << "the sweep was over too early for this test";
  const ProgramResult result = sweep({killed});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(test::run_directories(killed + "/runs").size(), 12u);
  EXPECT_EQ(summary_of(killed).dump(1), summary_of(whole).dump(1));
}

TEST(SweepGan, ASecondOneRefusesTheFolder) {
  const TemporaryFolder folder;
  const std::string where = folder / "sweep";
  RunningProgram first(POISE_SWEEP_GAN, {where, "--config", config_in(folder), "--iterations", "100000"}, {});
  ASSERT_TRUE(first.wait_until([&] { return !test::run_directories(where + "/runs").empty(); }));
  const ProgramResult second = sweep({where, "--seeds", "7"});
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_TRUE(contains(second.err, "another sweep_gan is running in this folder")) << second.err;
  EXPECT_FALSE(contains(test::read_bytes(where + "/sweep.toml"), "7")) << "it changed the plan all the same";
  // After a signal, it lets its runs save and says how to continue.
  first.send(SIGINT);
  const ProgramResult stopped = first.wait();
  EXPECT_EQ(stopped.exit_code, 75) << stopped.err;
  EXPECT_TRUE(contains(stopped.out, "continue with: ")) << stopped.out;
  for (const std::string& run : test::run_directories(where + "/runs")) {
    EXPECT_TRUE(contains(test::read_bytes(where + "/runs/" + run + "/log.txt"), "stopped by SIGTERM")) << run;
  }
}

TEST(SweepGan, AFailedRunDoesNotEndTheRest) {
  const TemporaryFolder folder;
  const std::string where = folder / "sweep";
  // A wrong image size for the model is only detected when the images are read.
  const ProgramResult result = sweep({where, "--config", config_in(folder), "--vary", "image_size=32,64", "--vary",
                                      "density_g=0.3", "--vary", "method=static", "--seeds", "1"});
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_TRUE(contains(result.err, "image_size-64-seed1 failed (exit code ")) << result.err;
  const json all = json::parse(test::read_bytes(where + "/summary.json"));
  std::map<std::string, std::string> states;
  for (const json& run : all["runs"]) states[run["name"]] = run["state"];
  EXPECT_EQ(states["static_density_g-0.3_image_size-32-seed1"], "finished");
  EXPECT_EQ(states["static_density_g-0.3_image_size-64-seed1"], "failed");
  EXPECT_TRUE(contains(test::read_bytes(where + "/summary.md"), "image_size-64-seed1: failed, iteration 0 of 12: "));
}

TEST(SweepGan, EvaluationsOfFinishedRuns) {
  const TemporaryFolder folder;
  const std::string where = folder / "sweep", config = config_in(folder);
  const std::vector<std::string> small = {where, "--config", config, "--vary", "density_g=0.3", "--seeds", "1"};
  ASSERT_EQ(sweep(small).exit_code, 0);
  // An evaluation is added to a finished sweep, and nothing is trained again.
  const std::string evaluation = "--metrics frechet-random --images 30 --reference $SWEEP_REFERENCE";
  const auto evaluated = [&](const std::vector<std::string>& environment) {
    test::ProgramSetting setting;
    setting.environment = environment;
    return test::run_program_in(setting, POISE_SWEEP_GAN, {where, "--evaluate", evaluation});
  };
  const ProgramResult unset = evaluated({});
  EXPECT_EQ(unset.exit_code, 2);
  EXPECT_TRUE(contains(unset.err, "$SWEEP_REFERENCE in the environment")) << unset.err;
  const ProgramResult missing = evaluated({"SWEEP_REFERENCE=nowhere.npz"});
  EXPECT_EQ(missing.exit_code, 2);
  EXPECT_TRUE(contains(missing.err, "--reference: nowhere.npz: there is no such file")) << missing.err;
  // Trained runs are in the summary before they are evaluated, and --summary evaluates nothing.
  const ProgramResult summary = sweep({where, "--evaluate", evaluation, "--summary"});
  EXPECT_EQ(summary.exit_code, 0) << summary.err;
  const json trained = json::parse(test::read_bytes(where + "/summary.json"));
  EXPECT_EQ(trained["runs"][0]["state"], "begun");
  EXPECT_TRUE(trained["runs"][0]["numbers"].contains("seconds")) << trained["runs"][0];
  const ProgramResult result = evaluated({"SWEEP_REFERENCE=sample"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_FALSE(contains(result.err, ": trains")) << result.err;
  const json all = json::parse(test::read_bytes(where + "/summary.json"));
  ASSERT_EQ(all["runs"][0]["evaluations"].size(), 1u);
  const json& record = all["runs"][0]["evaluations"][0];
  EXPECT_EQ(record["images"], 30);
  const std::string metric = record["metric"];
  EXPECT_EQ(all["runs"][0]["numbers"][metric], record["value"]);
  // With more iterations, the runs continue and are evaluated again.
  test::ProgramSetting setting;
  setting.environment = {"SWEEP_REFERENCE=sample"};
  const ProgramResult longer = test::run_program_in(setting, POISE_SWEEP_GAN, {where, "--iterations", "15"});
  ASSERT_EQ(longer.exit_code, 0) << longer.err;
  EXPECT_TRUE(contains(longer.err, "trains from iteration 12")) << longer.err;
  const json after = json::parse(test::read_bytes(where + "/summary.json"));
  EXPECT_EQ(after["runs"][0]["iteration"], 15);
  EXPECT_NE(after["runs"][0]["numbers"][metric], record["value"]);
  EXPECT_FALSE(after.contains("warnings")) << after["warnings"];
  // The variable names another file, and fewer iterations are requested: finished runs stay, with a warning.
  const std::string statistics = folder / "other.npz";
  ASSERT_EQ(
      test::run_program_in({}, POISE_EVALUATE_GAN,
                           {"make-stats", "sample", "--metrics", "frechet-random", "--images", "40", "-o", statistics})
          .exit_code,
      0);
  setting.environment = {"SWEEP_REFERENCE=" + statistics};
  const ProgramResult mixed =
      test::run_program_in(setting, POISE_SWEEP_GAN, {where, "--iterations", "12", "--seeds", "1,2"});
  ASSERT_EQ(mixed.exit_code, 0) << mixed.err;
  EXPECT_FALSE(contains(mixed.err, "seed1: ")) << mixed.err;
  const json warnings = json::parse(test::read_bytes(where + "/summary.json"))["warnings"];
  ASSERT_EQ(warnings.size(), 2u) << warnings;
  for (const char* part :
       {"$SWEEP_REFERENCE) of runs on ", "reference_images 2000", "reference_images 40", "evaluations/"})
    EXPECT_TRUE(contains(warnings[0], part)) << part << " in " << warnings[0];
  EXPECT_TRUE(contains(warnings[1], "seed1 (15 instead of 12)")) << warnings[1];
  EXPECT_FALSE(contains(warnings[1], "seed2")) << warnings[1];
}

// If the pictures change during a sweep, later runs are listed with the earlier ones, with a warning.
TEST(SweepGan, PicturesThatChangedAreNamed) {
  const TemporaryFolder folder;
  test::make_pictures(folder);
  const std::string where = folder / "sweep", pictures = folder / "pictures";
  const auto run = [&](const std::string& widths) {
    return sweep({where,
                  "--preset",
                  "tiny",
                  "--set",
                  "eval_every=0",
                  "--set",
                  "sample_count=4",
                  "--set",
                  "iterations=1",
                  "--set",
                  "batch_size_d=2",
                  "--set",
                  "batch_size_g=2",
                  "--dataset",
                  "folder",
                  "--data",
                  pictures,
                  "--vary",
                  "width_d=" + widths,
                  "--width-g",
                  "4"});
  };
  const ProgramResult first = run("4,8");
  ASSERT_EQ(first.exit_code, 0) << first.err;
  EXPECT_FALSE(contains(first.err, "warning")) << first.err;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(pictures))
    if (entry.is_regular_file()) files.push_back(entry.path());
  std::filesystem::remove(files.front());
  const ProgramResult second = run("4,8,6");
  EXPECT_EQ(second.exit_code, 0) << second.err;
  EXPECT_TRUE(contains(second.err, "changed while the sweep was under way")) << second.err;
  for (const char* name : {"summary.md", "summary.html", "summary.json"}) {
    EXPECT_TRUE(contains(test::read_bytes(where + "/" + name), "changed while the sweep was under way")) << name;
  }
}

TEST(SweepGan, MistakesAreFoundBeforeAnythingIsTrained) {
  const TemporaryFolder folder;
  const std::string where = folder / "sweep";
  const auto expect = [&](const std::vector<std::string>& more, const std::vector<std::string>& parts, int code = 2) {
    std::vector<std::string> arguments = {where};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const ProgramResult result = sweep(arguments);
    EXPECT_EQ(result.exit_code, code) << result.err;
    for (const std::string& part : parts) EXPECT_TRUE(contains(result.err, part)) << part << "\nin\n" << result.err;
    EXPECT_TRUE(test::run_directories(where + "/runs").empty());
  };
  expect({}, {"there is no sweep here to continue"});
  expect({"--vary", "method=static", "--vary", "density_g=0.1", "--data", "/nowhere"},
         {"data: /nowhere: there is no such file or folder"});
  expect({"--vary", "densty_g=0.1"}, {"unknown option densty_g (did you mean density_g?)"});
  expect({"--vary", "method=static", "--vary", "density_g=0.1,7", "--vary", "seed=1,2"},
         {"density_g: expected", "seed: is given by seeds"});
  expect({"--vary", "method=static,dense", "--vary", "density_g=0.1"}, {"method dense has no masks"});
  expect({"--vary", "density_g=0.1,0.10", "--vary", "method=static"}, {"duplicate combination"});
  expect({"--vary", "iterations=1", "--vary", "iterations=2"}, {"--vary: iterations is given twice"});
  expect({"--vary", "width_d=4,8", "--width-d", "9"}, {"width_d: is varied", "--width-d"});
  expect({"--vary", "iterations=1", "--evaluate", "--metrics fidd"}, {"fidd"});
  expect({"--vary", "iterations=1", "--seeds", "1,x"}, {"--seeds: expected whole numbers"});
  expect({"--vary", "iterations=1", "--threads", "1", "--threads-per-run", "2"}, {"at most --threads 1"});
  expect({"--config", config_in(folder, "seeds = []\n[option]\nwidth_g = 4\n[[grid]]\nmethod = [\"static\", 3]\n")},
         {"seeds: expected at least one", "but got option (did you mean options?)", "method: expected", "line 5"});

  // A folder with runs that used other options is refused.
  ASSERT_EQ(sweep({where, "--config", config_in(folder), "--vary", "density_g=0.3", "--vary", "method=static",
                   "--seeds", "1"})
                .exit_code,
            0);
  const ProgramResult other = sweep({where, "--width-g", "8"});
  EXPECT_EQ(other.exit_code, 5);
  EXPECT_TRUE(contains(other.err, "width_g is 4 there but 8 in the sweep")) << other.err;
}

}  // namespace
}  // namespace poise
