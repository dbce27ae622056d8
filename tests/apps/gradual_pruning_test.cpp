// Gradual pruning: the schedule of Zhu and Gupta, masks that only shrink, and exact continuation of resumed runs.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "apps/run/run_state.h"
#include "apps/training/sparse_methods.h"
#include "tests/support/file_test_tools.h"
#include "tests/support/trainer_test_tools.h"

namespace poise {
namespace {

using test::differences;
using test::noise_images;
using test::State;
using test::state_of;

constexpr double kDensity = 0.2;

MaskPolicies policies_with(int64_t start, int64_t end, int64_t every) {
  return policies_of({.method = "gradual",
                      .density_g = kDensity,
                      .density_d = 0.5,
                      .update_every_g = every,
                      .update_every_d = every,
                      .schedule_iterations = 1000,
                      .prune_start = start,
                      .prune_end = end});
}

// Equation 1 of the paper: the sparsity goes from s_i to s_f over n steps of length dt that begin at t0.
double papers_sparsity(double s_i, double s_f, double t, double t0, double n, double dt) {
  return s_f + (s_i - s_f) * std::pow(1 - (t - t0) / (n * dt), 3);
}

TEST(GradualPruning, IsTheCubicScheduleAtItsUpdates) {
  const MaskPolicies policies = policies_with(100, 600, 50);
  const MaskPolicy& policy = *policies.g;
  int updates = 0;
  for (int64_t t = 0; t <= 1000; ++t) {
    if (!policy.due(t)) continue;
    ++updates;
    EXPECT_EQ(t, 100 + 50 * updates);
    const double t_ = static_cast<double>(t);
    EXPECT_NEAR(1 - policy.planned_density(t), papers_sparsity(0, 1 - kDensity, t_, 100, 10, 50), 1e-12) << t;
  }
  EXPECT_EQ(updates, 10);
  EXPECT_NEAR(1 - policy.planned_density(150), 0.8 * (1 - 0.729), 1e-12);  // computed by hand: 1 - 0.9^3 of the way
  EXPECT_EQ(policy.planned_density(600), kDensity);                        // exactly
}

TEST(GradualPruning, IsDenseBeforeAndKeepsTheDensityBetweenUpdatesAndAfterThem) {
  const MaskPolicies policies = policies_with(100, 600, 50);
  const MaskPolicy& policy = *policies.d;
  EXPECT_EQ(policy.planned_density(0), 1);
  EXPECT_EQ(policy.planned_density(99), 1);
  EXPECT_EQ(policy.planned_density(149), 1);
  EXPECT_EQ(policy.planned_density(199), policy.planned_density(150));
  EXPECT_LT(policy.planned_density(200), policy.planned_density(199));
  EXPECT_EQ(policy.planned_density(100000), 0.5);  // the density of D
  EXPECT_FALSE(policy.wants_dense_gradient(150));
}

TEST(GradualPruning, EndsByDefaultAfterThreeQuartersOfTheScheduleAndNeverLater) {
  const MaskPolicies wholes = policies_with(0, 0, 250);
  const MaskPolicy& whole = *wholes.g;  // 250, 500, 750
  EXPECT_TRUE(whole.due(750));
  EXPECT_FALSE(whole.due(1000));
  EXPECT_EQ(whole.planned_density(750), kDensity);
  const MaskPolicies unevens = policies_with(10, 600, 100);
  const MaskPolicy& uneven = *unevens.g;  // 110 .. 510; 610 would be too late
  EXPECT_TRUE(uneven.due(510));
  EXPECT_FALSE(uneven.due(610));
  EXPECT_GT(uneven.planned_density(509), kDensity);
  EXPECT_EQ(uneven.planned_density(510), kDensity);
}

Settings small(const test::OptionTexts& more = {}) {
  return test::settings_of({{"method", "gradual"},
                            {"density_g", "0.2"},
                            {"width_g", "4"},
                            {"width_d", "4"},
                            {"latent_size", "8"},
                            {"batch_size_d", "2"},
                            {"batch_size_g", "2"},
                            {"n_critic", "1"},
                            {"iterations", "60"},
                            {"update_every_g", "5"},
                            {"update_every_d", "10"},
                            {"br_every", "0"}},
                           more);
}

int64_t alive_in(const std::vector<char>& mask) { return std::count(mask.begin(), mask.end(), 1); }

// In both networks and for all cells, dead cells stay dead and the counts follow the schedule.
class ShrinkingMasks : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Cells, ShrinkingMasks, testing::Values("1x1", "2x2"),
                         [](const auto& tested) { return "Of" + std::string(tested.param); });

TEST_P(ShrinkingMasks, FallAsPlannedAndNeverGrow) {
  const Settings settings = small({{"density_d", "0.5"}, {"cell", GetParam()}});
  const MaskPolicies policies = policies_of(settings.scheduled_sparse());
  Trainer trainer(settings, noise_images());
  State before = state_of(trainer);
  int events = 0;
  for (const MaskEvent& first : trainer.take_mask_events()) EXPECT_EQ(first.density, 1) << first.network;
  while (trainer.iteration() < 60) {
    trainer.iterate();
    const int64_t t = trainer.iteration();
    const State now = state_of(trainer);
    for (const auto& [name, mask] : now) {
      if (name.find(".mask.") == std::string::npos) continue;
      for (size_t i = 0; i < mask.size(); ++i) ASSERT_LE(mask[i], before.at(name)[i]) << name << ", iteration " << t;
    }
    for (const MaskEvent& event : trainer.take_mask_events()) {
      const MaskPolicy& policy = *policies.of(event.network == "G" ? Network::generator : Network::discriminator);
      EXPECT_EQ(event.kind, "prune");
      EXPECT_EQ(event.grown, 0);
      EXPECT_GT(event.dropped, 0);
      // To within one cell: as many cells are kept as do not exceed the target, which is rounded to whole weights.
      const double weights = static_cast<double>(event.alive) / event.density,
                   cell = static_cast<double>(cell_of(GetParam())->out * cell_of(GetParam())->in);
      EXPECT_NEAR(event.density, policy.planned_density(t), (cell + 0.5) / weights)
          << event.network << ", iteration " << t;
      ++events;
    }
    before = now;
    ASSERT_TRUE(trainer.report().finite());
  }
  EXPECT_EQ(events, 9 + 4);  // G: 5 .. 45; D: 10 .. 40
  EXPECT_EQ(policies.g->planned_density(60), 0.2);
  EXPECT_EQ(policies.d->planned_density(60), 0.5);
}

// The dead weights are the smallest of the whole network: none was larger in magnitude than an alive one.
TEST(GradualPruning, TakesTheSmallestWeightsOfTheNetwork) {
  Trainer trainer(small({{"iterations", "5"}, {"prune_end", "5"}}), noise_images());
  while (trainer.iteration() < 4) trainer.iterate();
  Trainer dense(small({{"iterations", "5"}, {"prune_end", "5000"}, {"update_every_g", "2000"}}), noise_images());
  while (dense.iteration() < 5) dense.iterate();
  trainer.iterate();  // the same step as the other trainer, then all pruning at once
  const State pruned = state_of(trainer), whole = state_of(dense);
  float largest_dead = 0, smallest_alive = INFINITY;
  int64_t dead = 0;
  for (const auto& [name, mask] : pruned) {
    if (!name.starts_with("G.mask.")) continue;
    std::vector<float> w(mask.size());
    std::memcpy(w.data(), whole.at("G." + name.substr(7)).data(), w.size() * sizeof(float));
    if (alive_in(mask) == 1) continue;  // a layer always keeps its best weight
    for (size_t i = 0; i < w.size(); ++i) {
      dead += mask[i] == 0;
      if (mask[i])
        smallest_alive = std::min(smallest_alive, std::abs(w[i]));
      else
        largest_dead = std::max(largest_dead, std::abs(w[i]));
    }
  }
  EXPECT_GT(dead, 0);
  EXPECT_LE(largest_dead, smallest_alive);
}

TEST(GradualPruning, LeavesDDenseUnlessAsked) {
  Trainer trainer(small(), noise_images());
  for (const MaskEvent& event : trainer.take_mask_events()) EXPECT_EQ(event.network, "G");
  for (const auto& [name, bytes] : state_of(trainer)) EXPECT_FALSE(name.starts_with("D.mask.")) << name;
}

TEST(GradualPruning, OfBothNetworksResumesBitForBit) {
  const Settings settings = small({{"density_d", "0.5"}, {"prune_start", "7"}, {"ema_decay", "0.9"}});
  const ImageSet images = noise_images();
  Trainer whole(settings, images);
  const test::TemporaryFolder folder;
  CheckpointStore store(folder.path() + "/checkpoints", 9);
  while (whole.iteration() < 50) {
    whole.iterate();
    if (whole.iteration() == 22 || whole.iteration() == 29) save_state(store, whole, settings, images);
  }
  for (const int64_t stop : {22, 29}) {
    Trainer resumed(settings, images);
    restore_state(CheckpointStore::load(store.path_of(stop)), resumed);
    while (resumed.iteration() < 50) resumed.iterate();
    EXPECT_EQ(differences(state_of(whole), state_of(resumed)), std::vector<std::string>()) << stop;
  }
}

// A checkpoint from before an option was added does not contain it; the option then has its default.
TEST(GradualPruning, ACheckpointHoldsItsOptionsOnlyIfTheyAreSet) {
  const test::TemporaryFolder folder;
  CheckpointStore store(folder.path() + "/checkpoints", 9);
  const Settings plain = small(), late = small({{"prune_start", "7"}});
  const ImageSet images = noise_images();
  Trainer trainer(plain, images);
  save_state(store, trainer, plain, images);
  const SafetensorsFile file = CheckpointStore::load(store.path_of(0));
  EXPECT_FALSE(file.metadata().contains("option.prune_start"));
  EXPECT_EQ(settings_of_checkpoint(file).sparse.prune_start, 0);
  check_same_run(file, plain, images.crc);
  EXPECT_THROW(check_same_run(file, late, images.crc), Error);

  trainer.iterate();
  save_state(store, trainer, late, images);
  const SafetensorsFile other = CheckpointStore::load(store.path_of(1));
  EXPECT_EQ(other.metadata().at("option.prune_start"), "7");
  check_same_run(other, late, images.crc);
  EXPECT_THROW(check_same_run(other, plain, images.crc), Error);
}

TEST(GradualPruning, RefusesASpanWithoutRoomForAnUpdate) {
  const OptionSet options = test::options_of({{"method", "gradual"},
                                              {"density_g", "0.2"},
                                              {"iterations", "1000"},
                                              {"prune_start", "400"},
                                              {"prune_end", "800"}});
  ASSERT_EQ(options.problems().size(), 1u);
  EXPECT_EQ(options.problems()[0], "prune_end: expected at least prune_start + update_every_g = 900 but got 800");
}

}  // namespace
}  // namespace poise
