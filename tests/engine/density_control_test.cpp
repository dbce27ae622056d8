// The density controllers on scripted balance ratios, and the drop schedules.
#include "engine/sparse/density_control.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "engine/sparse/schedule.h"

namespace poise {
namespace {

using Kind = DensityDecision::Kind;

struct Trajectory {
  std::vector<double> densities;
  std::string kinds;  // r (raise), l (lower), w (rewire), - (none)
};

Trajectory run(const DensityControl& control, double density, const std::vector<double>& ratios) {
  Trajectory t;
  for (const double ratio : ratios) {
    const DensityDecision decision = decide(control, density, ratio);
    density = decision.density;
    t.densities.push_back(density);
    t.kinds += decision.kind == Kind::raise    ? 'r'
               : decision.kind == Kind::lower  ? 'l'
               : decision.kind == Kind::rewire ? 'w'
                                               : '-';
  }
  return t;
}

void expect_densities(const Trajectory& t, const std::vector<double>& expected) {
  ASSERT_EQ(t.densities.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(t.densities[i], expected[i], 1e-12) << "decision " << i;
}

const DensityControl kDda{.band_low = 0.5, .band_high = 0.65};
const DensityControl kRelaxed{.band_low = 0.45, .band_high = 0.55};
const DensityControl kStrict{.band_low = 0.45, .band_high = 0.55, .density_limit = 0.5, .rewire_at_limit = true};

TEST(DensityControl, MovesByTheStepOutsideTheBandAndRestsInside) {
  const Trajectory t = run(kDda, 0.3, {0.9, 0.66, 0.6, 0.51, 0.4, -3.0, 0.64});
  EXPECT_EQ(t.kinds, "rr--ll-");
  expect_densities(t, {0.35, 0.4, 0.4, 0.4, 0.35, 0.3, 0.3});
}

TEST(DensityControl, TheEndsOfTheBandBelongToTheOutside) {
  EXPECT_EQ(run(kRelaxed, 0.3, {0.55, 0.45}).kinds, "rl");
  EXPECT_EQ(run(kRelaxed, 0.3, {std::nextafter(0.55, 0), std::nextafter(0.45, 1)}).kinds, "--");
}

TEST(DensityControl, RelaxedGrowsToExactlyOneAndThenRests) {
  const std::vector<double> high(25, 0.9);
  const Trajectory t = run(kRelaxed, 0.1, high);
  EXPECT_EQ(t.kinds, std::string(18, 'r') + std::string(7, '-'));
  EXPECT_EQ(t.densities[17], 1.0);  // exactly, though 0.1 + 18 * 0.05 is not
  EXPECT_EQ(t.densities.back(), 1.0);
  EXPECT_EQ(run(kRelaxed, 0.97, {0.9}).densities[0], 1.0);
  EXPECT_EQ(run(kRelaxed, 1.0, {0.3}).kinds, "l");
}

TEST(DensityControl, FallsToExactlyTheFloorAndThenRests) {
  const Trajectory t = run(kRelaxed, 0.2, {0.1, 0.1, 0.1, 0.1, 0.1, 0.9});
  EXPECT_EQ(t.kinds, "lll--r");
  EXPECT_EQ(t.densities[2], 0.05);
  EXPECT_EQ(t.densities[4], 0.05);
  EXPECT_NEAR(t.densities[5], 0.1, 1e-12);
  EXPECT_EQ(run(kRelaxed, 0.02, {0.1}).kinds, "-");                         // below the floor: "lower" never raises
  EXPECT_EQ(run(kRelaxed, 0.005, {0.9}).densities[0], 0.055);               // an ordinary step, ending above the floor
  EXPECT_EQ(run({.density_step = 0.01}, 0.005, {0.9}).densities[0], 0.05);  // a raise goes at least up to the floor
}

TEST(DensityControl, StrictRewiresAtItsLimitAndOnlyThere) {
  const Trajectory t = run(kStrict, 0.37, {0.9, 0.55, 0.9, 0.9, 0.55, 0.5, 0.45, 0.9, 0.9});
  EXPECT_EQ(t.kinds, "rrrww-lrw");
  expect_densities(t, {0.42, 0.47, 0.5, 0.5, 0.5, 0.5, 0.45, 0.5, 0.5});
  EXPECT_EQ(t.densities[2], 0.5);  // exactly, because the rule tests for equality
  EXPECT_EQ(run(kRelaxed, 1.0, {0.9}).kinds, "-");
  EXPECT_EQ(run(kStrict, 0.6, {0.9}).kinds, "-");  // nothing to do above its limit
}

TEST(DensityControl, WithoutAReadingNothingHappens) {
  for (const DensityControl& control : {kDda, kRelaxed, kStrict}) {
    for (const double density : {0.05, 0.3, 0.5, 1.0}) {
      const DensityDecision decision = decide(control, density, NAN);
      EXPECT_EQ(decision.kind, Kind::none);
      EXPECT_EQ(decision.density, density);
    }
  }
}

TEST(DropSchedule, StartsEndsAndBendsAsItsFormulas) {
  const DropSchedule cosine{.length = 1000};
  EXPECT_DOUBLE_EQ(cosine.at(0), 0.5);
  EXPECT_DOUBLE_EQ(cosine.at(1000), 0.005);
  EXPECT_DOUBLE_EQ(cosine.at(5000), 0.005);
  EXPECT_DOUBLE_EQ(cosine.at(500), (0.5 + 0.005) / 2);
  EXPECT_NEAR(cosine.at(250), 0.005 + 0.5 * (0.5 - 0.005) * (1 + std::sqrt(0.5)), 1e-15);
  const DropSchedule linear{.shape = ScheduleShape::linear, .start = 0.4, .end = 0.2, .length = 10};
  EXPECT_NEAR(linear.at(5), 0.3, 1e-15);
  EXPECT_NEAR(linear.at(11), 0.2, 1e-15);
  EXPECT_EQ((DropSchedule{.shape = ScheduleShape::constant, .start = 0.3}.at(77)), 0.3);
}

}  // namespace
}  // namespace poise
