// The plan of a sweep, read from text and flags, and its statistics, fronts and charts, computed from given numbers.
#include "apps/sweep/sweep_plan.h"

#include <cmath>

#include "apps/report/svg_chart.h"
#include "apps/sweep/sweep_results.h"
#include "tests/support/file_test_tools.h"

namespace poise {
namespace {

using test::TemporaryFolder;
using test::write_bytes;

const char* kStudy = R"(preset = "tiny"
seeds = [1, 2]
evaluate = ["--metrics fid-768 --inception $SOMEWHERE"]

[options]
iterations = 1500
adam_beta1 = 0

[[grid]]
method = ["static", "sdst-rigl"]
cell = ["1x1", "16x16"]
density_g = [0.1, 1]

[[grid]]
method = "dense"
seeds = [5]
)";

SweepPlan plan_of(const std::string& text, Problems& problems) {
  const TemporaryFolder folder;
  write_bytes(folder / "a.toml", text);
  return read_sweep_plan(folder / "a.toml", problems);
}

TEST(SweepPlan, IsReadAndWrittenAsItIsMeant) {
  Problems problems;
  const SweepPlan plan = plan_of(kStudy, problems);
  ASSERT_TRUE(problems.empty()) << problems[0];
  EXPECT_EQ(plan.preset, "tiny");
  EXPECT_EQ(plan.options[1].second, Value(0.0)) << "a real number";
  const std::vector<SweepCell> cells = cells_of(plan, problems);
  ASSERT_TRUE(problems.empty()) << problems[0];
  ASSERT_EQ(cells.size(), 9u);
  EXPECT_EQ(cells[0].label, "static_1x1_density_g-0.1");
  EXPECT_EQ(cells[1].label, "static_1x1_density_g-1.0");
  EXPECT_EQ(cells[2].label, "static_16x16_density_g-0.1") << "what was written first varies slowest";
  EXPECT_EQ(cells[4].label, "sdst-rigl_1x1_density_g-0.1");
  EXPECT_EQ(cells[8].label, "dense");
  EXPECT_EQ(cells[0].seeds, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(cells[8].seeds, (std::vector<int64_t>{5}));

  const std::string text = to_toml(plan);
  EXPECT_EQ(to_toml(plan_of(text, problems)), text);
  EXPECT_TRUE(problems.empty());
  const std::vector<SweepCell> again = cells_of(plan_of(text, problems), problems);
  ASSERT_EQ(again.size(), cells.size());
  for (size_t i = 0; i < cells.size(); ++i) EXPECT_EQ(again[i].label, cells[i].label);
}

TEST(SweepPlan, VariablesStandForPathsOfAMachine) {
  Problems problems;
  ::setenv("SWEEP_TEST_FILE", "/a folder/x.npz", 1);
  const std::vector<std::string> words = evaluation_words("--reference $SWEEP_TEST_FILE  --images 5", problems);
  EXPECT_EQ(words, (std::vector<std::string>{"--reference", "/a folder/x.npz", "--images", "5"}));
  EXPECT_TRUE(problems.empty());
  evaluation_words("$SWEEP_TEST_NOTHING", problems);
  EXPECT_EQ(problems.size(), 1u);
  const Assignments kept = without_paths({{"data", Value(std::string("/x"))}, {"width_g", Value(int64_t{4})}});
  ASSERT_EQ(kept.size(), 1u);
  EXPECT_EQ(kept[0].first, "width_g");
}

// Cells with the given costs and metrics.
SweepResults results_of(const std::vector<std::pair<double, double>>& numbers) {
  SweepResults results;
  for (const auto& [cost, metric] : numbers) {
    CellResult cell;
    cell.numbers["seconds"] = {.count = 1, .mean = cost, .deviation = NAN};
    cell.numbers["m"] = {.count = std::isnan(metric) ? 0 : 1, .mean = metric, .deviation = NAN};
    results.cells.push_back(cell);
  }
  return results;
}

TEST(SweepResults, TheParetoFrontHasNobodyThatIsBeatenInBoth) {
  const SweepResults results = results_of({{10, 5}, {5, 9}, {7, 9}, {20, 5}, {30, 2}, {1, NAN}, {5, 8}});
  EXPECT_EQ(pareto_front(results, "seconds", {.name = "m"}), (std::vector<size_t>{6, 0, 4}));
  EXPECT_EQ(pareto_front(results, "seconds", {.name = "m", .larger_is_better = true}), (std::vector<size_t>{1}));
}

TEST(SweepResults, MeanAndDeviationOfCurvesOverSeeds) {
  RunResult a, b;
  a.curves["swd"] = {{1, 2}, {2, 4}, {3, NAN}};
  b.curves["swd"] = {{1, 4}, {2, 8}, {3, 5}};
  CellResult cell;
  cell.seeds = {&a, &b};
  const MeanCurve curve = mean_curve(cell, "swd");
  ASSERT_EQ(curve.mean, (Points{{1, 3}, {2, 6}, {3, 5}}));
  EXPECT_NEAR(curve.spread[0].first, 3 - std::sqrt(2.0), 1e-12);
  EXPECT_NEAR(curve.spread[1].second, 6 + std::sqrt(8.0), 1e-12);
  EXPECT_EQ(curve.spread[2], std::pair(5.0, 5.0)) << "one seed has no deviation";
  EXPECT_EQ((Statistic{.count = 2, .mean = 95.63, .deviation = 2.13}.text()), "95.63 ± 2.1");
  EXPECT_EQ((Statistic{.count = 1, .mean = 95.63, .deviation = NAN}.text()), "95.63");
  EXPECT_EQ(Statistic{}.text(), "-");
}

TEST(SvgChart, LegendsWrapAndFilesStandAlone) {
  LineChart chart{.title = "t", .x_label = "x", .y_label = "y"};
  for (int i = 0; i < 5; ++i) {
    chart.series.push_back({.name = "sdst-rigl 16x16-all-taps 0.1", .points = {{0, 1}, {1, 2}}, .colour = i});
  }
  const std::string svg = svg_line_chart(chart);
  EXPECT_NE(svg.find("viewBox=\"0 0 760 316\""), std::string::npos) << "two more rows of 18: " << svg.substr(0, 100);
  EXPECT_EQ(svg.find("class=\"spread"), std::string::npos);
  const std::string file = standalone_svg(svg);
  EXPECT_EQ(file.find("<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chart\""), 0u) << file.substr(0, 100);
  EXPECT_NE(file.find("--c0:#0072b2"), std::string::npos);

  const ScatterChart scatter{.title = "t",
                             .x_label = "x",
                             .y_label = "y",
                             .groups = {{"a <b>", {{1, 2, "1"}, {3, 1, "2"}}}},
                             .front_name = "front",
                             .front = {{1, 2}, {3, 1}}};
  const std::string points = svg_scatter_chart(scatter);
  EXPECT_NE(points.find("a &lt;b&gt;"), std::string::npos);
  EXPECT_NE(points.find("class=\"front\" d=\"M"), std::string::npos);
}

}  // namespace
}  // namespace poise
