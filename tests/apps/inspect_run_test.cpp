// End-to-end tests of inspect_run and of the report.html that train_gan writes.
#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/support/program_test_tools.h"

namespace poise {
namespace {

using test::ProgramResult;
using test::RunningProgram;
using test::small_run;
using test::TemporaryFolder;

const std::string kInspectRun = POISE_INSPECT_RUN, kTrainGan = POISE_TRAIN_GAN;

ProgramResult inspect(const std::vector<std::string>& arguments, const test::ProgramSetting& setting = {}) {
  return test::run_program_in(setting, kInspectRun, arguments);
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

const std::vector<std::string> kPaper = {"flops", "--preset", "cifar10-sngan32-dense"};

nlohmann::json flops(const std::vector<std::string>& more) {
  std::vector<std::string> all = kPaper;
  all.insert(all.end(), more.begin(), more.end());
  all.emplace_back("--json");
  const ProgramResult result = inspect(all);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return nlohmann::json::parse(result.out, nullptr, false);
}

TEST(InspectRun, FlopsOfThePaper) {
  const auto dense = flops({"--convention", "published"});
  EXPECT_EQ(dense["convention"], "published");
  EXPECT_NEAR(dense["dense_total_mac"].get<double>(), 2.668e17, 0.0005e17);
  EXPECT_EQ(dense["total_mac"], dense["dense_total_mac"]);
  EXPECT_EQ(dense["ratio"], 1.0);

  const auto balance = flops({"--convention", "published", "--density-g", "0.1", "--density-d", "0.1"});
  EXPECT_NEAR(balance["ratio"].get<double>(), 0.0897, 0.002);
  EXPECT_NEAR(balance["total_mac"].get<double>(), balance["ratio"].get<double>() * 2.668e17, 0.0005e17);
  const auto full = flops({"--density-g", "0.1", "--density-d", "0.5"});
  EXPECT_EQ(full["convention"], "full");
  EXPECT_NEAR(full["ratio"].get<double>(), 0.2103, 0.0005);

  ASSERT_EQ(full["layers"].size(), 22u);
  double macs[2] = {0, 0}, sparse[2] = {0, 0};
  for (const auto& layer : full["layers"]) {
    const int network = layer["network"] == "G" ? 0 : 1;
    EXPECT_TRUE(network == 0 || layer["network"] == "D");
    macs[network] += layer["mac_per_image"].get<double>();
    sparse[network] += layer["mac_per_image"].get<double>() * layer["density"].get<double>();
    if (layer["name"] == "block4.conv1" && network == 0) {
      EXPECT_EQ(layer["weights"], 589824);
      EXPECT_EQ(layer["mac_per_image"], 603979776);
      EXPECT_NEAR(layer["density"].get<double>(), 0.0415, 1e-4);
    }
  }
  EXPECT_EQ(macs[0], 1681129472);
  EXPECT_EQ(macs[1], 272072832);
  // The reported layers add up to the reported total.
  EXPECT_NEAR(full["total_mac"].get<double>(), 1e5 * (sparse[0] * (320 + 384) + sparse[1] * (1920 + 256)), 1e5);
}

TEST(InspectRun, FlopsOfMethodsCellsAndRules) {
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.end(), {"--density-g", "0.1"});
    return flops(more);
  };
  const auto still = with({});
  EXPECT_EQ(still["method"], "static") << "densities with method dense";
  EXPECT_NEAR(still["ratio"].get<double>(), 0.0782, 0.0005) << "D as G";
  const auto relaxed = with({"--method", "ddst-relaxed"});
  EXPECT_GT(relaxed["total_mac"], still["total_mac"]);
  EXPECT_GT(relaxed["last_iteration"]["balance_ratio_mac"], 0);
  EXPECT_GT(relaxed["last_iteration"]["dense_gradients_mac"], 0);
  // 16x16 cells leave three-channel layers dense, but the overall density is 10%.
  const auto cells = with({"--cell", "16x16"});
  for (const auto& layer : cells["layers"]) {
    if (layer["name"] == "conv_out") {
      EXPECT_EQ(layer["density"], 1.0);
    }
  }
  EXPECT_NEAR(cells["ratio"].get<double>(), still["ratio"].get<double>(), 0.001);
  EXPECT_NEAR(with({"--density-rule", "uniform"})["ratio"].get<double>(), 0.1, 1e-4);
  EXPECT_EQ(with({"--set", "iterations=50000"})["total_mac"].get<double>(), still["total_mac"].get<double>() / 2);
}

TEST(InspectRun, FlopsAsText) {
  std::vector<std::string> arguments = kPaper;
  arguments.insert(arguments.end(), {"--density-g", "0.1", "--density-d", "0.1"});
  const ProgramResult result = inspect(arguments);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  for (const char* part : {"block4.shortcut", "603,979,776", "unmasked", "published", "8.97%", "7.82%", "2.6676e+17"})
    EXPECT_TRUE(contains(result.out, part)) << part << "\n" << result.out;
}

TEST(InspectRun, SaysWhatIsWrong) {
  const auto refused = [&](const std::vector<std::string>& arguments, int exit_code, const std::string& message) {
    const ProgramResult result = inspect(arguments);
    EXPECT_EQ(result.exit_code, exit_code) << message;
    EXPECT_TRUE(contains(result.err, message)) << result.err;
    EXPECT_EQ(result.out, "");
  };
  refused({}, 2,
          "expected a command, flops, report, summary, calibrate-band, compare, masks, export, verify-data or doctor");
  refused({"flop"}, 2, "did you mean flops?");
  refused({"flops", "--density-g", "1.5"}, 2, "density_g: expected a real number above 0 to 1 but got 1.5");
  refused({"flops", "--density-d", "0.1x", "--convention", "publisehd"}, 2, "did you mean published?");
  refused({"flops", "--preset", "tiyn"}, 2, "did you mean tiny?");
  refused({"flops", "--method", "ddst"}, 2, "method: expected dense, static");
  refused({"flops", "--cell", "16"}, 2, "cell: expected a form like 1x1");
  refused({"flops", "--set", "width_g"}, 2, "expected KEY=VALUE");
  refused({"flops", "--preset", "tiny", "--density-g", "0.001", "--cell", "16x16"}, 2, "use a smaller cell");
  refused({"flops", "runs/x", "--preset", "tiny"}, 2, "--preset cannot be combined with a run");
  refused({"flops", "/nowhere"}, 5, "/nowhere: not a run directory");
  refused({"report"}, 2, "expected a run directory");
  refused({"report", "/nowhere"}, 5, "/nowhere: not a run directory");
  refused({"summary", "/nowhere"}, 5, "/nowhere: not a run directory");
  refused({"report", "a", "b"}, 2, "unexpected argument \"b\"");
  for (const char* command : {"flops", "report", "summary"}) {
    const ProgramResult help = inspect({command, "--help"});
    EXPECT_EQ(help.exit_code, 0);
    EXPECT_TRUE(contains(help.out, std::string("inspect_run ") + command)) << help.out;
  }
  EXPECT_TRUE(contains(inspect({"--help"}).out, "inspect_run report RUN_DIR"));
  EXPECT_TRUE(contains(inspect({"--version"}).out, "inspect_run 0."));
}

TEST(InspectRun, RunsLeaveAReportAndInspectRunWritesItAgain) {
  const TemporaryFolder folder;
  const ProgramResult finished = test::run_program_in({.folder = folder.path()}, kTrainGan,

                                                      small_run({"--iterations", "3", "--eval-every", "3", "--method",
                                                                 "static", "--density-g", "0.5", "--density-d", "1"}));
  ASSERT_EQ(finished.exit_code, 0) << finished.err;
  EXPECT_TRUE(contains(finished.out, "report.html"));
  const std::string path = folder / "runs/latest/report.html", page = test::read_bytes(path);
  for (const char* part :
       {"<title>losses</title>", "<title>densities</title>", "<title>layer densities of the generator</title>",
        "<title>arithmetic</title>", "alive weights", "<title>swd</title>", "data:image/png", "finished at iteration 3",
        "command line --width-g"})
    EXPECT_TRUE(contains(page, part)) << part;
  std::filesystem::remove(path);
  const ProgramResult again = inspect({"report", "runs/latest"}, {.folder = folder.path()});
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(again.out, "runs/latest/report.html\n");
  EXPECT_TRUE(contains(test::read_bytes(path), "<title>losses</title>"));
  const auto summary = [&] { return inspect({"summary", "runs/latest"}, {.folder = folder.path()}).out; };
  EXPECT_TRUE(contains(summary(), "3 of 3 iterations"));
  EXPECT_FALSE(contains(summary(), "warning"));
  std::ofstream(folder / "runs/latest/train.jsonl", std::ios::app) << "not JSON\n"
                                                                   << R"({"iterat)";  // still being written
  EXPECT_TRUE(contains(summary(), "warning     1 line of train.jsonl")) << summary();
  std::ofstream(folder / "runs/latest/log.txt", std::ios::app)
      << "2026-01-01T00:00:00Z iteration 2/3  1 it/s  ETA 5m  loss_d 1\n";
  EXPECT_TRUE(contains(summary(), "; iteration 2/3  1 it/s  loss_d 1\n")) << summary();

  const ProgramResult counted = inspect({"flops", "runs/latest", "--json"}, {.folder = folder.path()});
  EXPECT_EQ(counted.exit_code, 0) << counted.err;
  const auto json = nlohmann::json::parse(counted.out, nullptr, false);
  EXPECT_EQ(json["iterations"], 3.0);
  EXPECT_LT(json["ratio"], 0.95);
  EXPECT_GT(json["ratio"], 0.4);
  double weights = 0, alive = 0;
  for (const auto& layer : json["layers"]) {
    if (layer["network"] != "G") continue;
    weights += layer["weights"].get<double>();
    alive += layer["weights"].get<double>() * layer["density"].get<double>();
  }
  EXPECT_NEAR(alive, weights / 2, 0.51);

  RunningProgram program(kTrainGan, small_run({"--runs", "stopped", "--iterations", "1000000"}),
                         {.folder = folder.path()});
  const std::string stopped = folder / "stopped/latest";
  ASSERT_TRUE(program.wait_until([&] { return test::last_logged_iteration(stopped) >= 2; }));
  program.send(SIGTERM);
  EXPECT_EQ(program.wait().exit_code, 75);
  EXPECT_TRUE(contains(test::read_bytes(stopped + "/report.html"), "stopped by SIGTERM after iteration "));
}

}  // namespace
}  // namespace poise
