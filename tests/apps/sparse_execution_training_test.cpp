// Training on a sparse path gives the same run as masked dense layers, and the same run after a restart.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>

#include "apps/run/run_state.h"
#include "apps/training/sparse_training.h"
#include "data/cifar10.h"
#include "tests/support/trainer_test_tools.h"

namespace poise {
namespace {

// DDST. The learning rates are small so that rounding is not amplified: at 2e-4, an Adam step without momentum turns
// the sign of a gradient that is pure rounding into a full step. The seed is one at which, on all instruction sets, no
// mask update has to choose between two cells whose scores differ only by rounding: most seeds have such pairs, 3 and
// 10 do not.
Settings ddst(const char* cell, const char* execution) {
  return test::settings_of({{"method", "ddst-relaxed"},
                            {"seed", "3"},
                            {"cell", cell},
                            {"execution", execution},
                            {"density_g", "0.4"},
                            {"width_g", "32"},
                            {"width_d", "32"},
                            {"latent_size", "16"},
                            {"batch_size_d", "4"},
                            {"batch_size_g", "4"},
                            {"n_critic", "1"},
                            {"iterations", "60"},
                            {"update_every_g", "15"},
                            {"update_every_d", "20"},
                            {"br_every", "2"},
                            {"br_window", "10"},
                            {"band_low", "0.0001"},
                            {"band_high", "0.0002"},
                            {"learning_rate_g", "1e-6"},
                            {"learning_rate_d", "1e-6"}});
}

ImageSet images() { return read_cifar10(POISE_SAMPLE_DATA_DIR, CifarSplit::train); }

// A cell and the path that skips such cells.
using CellAndPath = std::pair<const char*, const char*>;
class SparseExecutionTrainingTest : public testing::TestWithParam<CellAndPath> {};
INSTANTIATE_TEST_SUITE_P(Paths, SparseExecutionTrainingTest,
                         testing::Values(CellAndPath("16x16", "block"), CellAndPath("1x1", "weights"),
                                         CellAndPath("4x1", "weights")),
                         [](const auto& p) { return std::string(p.param.second) + "_cell_" + p.param.first; });

TEST_P(SparseExecutionTrainingTest, StaysWithinRoundingOfMaskedDenseTrainingAcrossMaskUpdates) {
  const auto [cell, path] = GetParam();
  Trainer dense(ddst(cell, "dense"), images()), sparse(ddst(cell, path), images());
  std::map<std::string, int> changes;
  while (dense.iteration() < 50) {
    dense.iterate();
    sparse.iterate();
    const IterationReport a = dense.report(), b = sparse.report();
    EXPECT_NEAR(a.loss_d, b.loss_d, 1e-4 * std::abs(a.loss_d)) << dense.iteration();
    EXPECT_NEAR(a.mean_fake, b.mean_fake, 1e-4 * std::max(1e-2, std::abs(a.mean_fake))) << dense.iteration();
    for (const MaskEvent& event : sparse.take_mask_events()) changes[event.network + " " + event.kind]++;
  }
  EXPECT_GE(changes["G drop_grow"], 3);
  EXPECT_GE(changes["D raise"] + changes["D lower"], 2);

  const auto a = test::state_of(dense), b = test::state_of(sparse);
  for (const auto& [name, bytes] : a) {
    if (name.find(".mask.") != std::string::npos) {
      EXPECT_EQ(bytes, b.at(name)) << name;
      continue;
    }
    // Compares alive weights, their average, and the states of batch norm and spectral norm. (Moments of dead weights
    // depend on gradients that a sparse path does not compute.)
    const bool compared =
        (name[1] == '.' && name.find("adam") == std::string::npos && name.find("execution") == std::string::npos);
    if (!compared) continue;
    std::vector<float> x(bytes.size() / sizeof(float)), y(x.size());
    std::memcpy(x.data(), bytes.data(), bytes.size());
    std::memcpy(y.data(), b.at(name).data(), bytes.size());
    double worst = 0, largest = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      worst = std::max(worst, static_cast<double>(std::abs(x[i] - y[i])));
      largest = std::max(largest, static_cast<double>(std::abs(x[i])));
    }
    // The offsets of batch norm start at 0 and stay small.
    EXPECT_FALSE(!(worst <= 1e-3 * std::max(largest, 1e-3))) << name << ": " << worst << " of " << largest;
  }
  EXPECT_LT(sparse.work_done().executed_flops, 0.75 * dense.work_done().executed_flops);
  EXPECT_EQ(sparse.work_done().flops, dense.work_done().flops);
}

TEST_P(SparseExecutionTrainingTest, ResumesBitForBitAcrossAMaskUpdate) {
  const auto [cell, path] = GetParam();
  const Settings settings = ddst(cell, path);
  Trainer whole(settings, images());
  while (whole.iteration() < 12) whole.iterate();
  Trainer resumed(settings, images());
  test::write_state(resumed, test::state_of(whole), whole.step_state());
  while (whole.iteration() < 24) {
    whole.iterate();
    resumed.iterate();
  }
  EXPECT_EQ(test::differences(test::state_of(whole), test::state_of(resumed)), std::vector<std::string>());
}

TEST_P(SparseExecutionTrainingTest, PlansMemoryForBothPathsAndSaysWhatItWillDo) {
  const Settings settings = ddst(GetParam().first, "auto");
  const TrainingPlan plan = Trainer::plan(settings, 2000);
  ASSERT_FALSE(plan.execution.empty());
  const Trainer trainer(settings, images());
  EXPECT_EQ(plan.arena_bytes, trainer.training_plan().arena_bytes);
  Settings dense = settings;
  dense.sparse.method = "dense";
  dense.sparse.density_g = dense.sparse.density_d = 1;
  const TrainingPlan without = Trainer::plan(dense, 2000);
  EXPECT_LE(plan.arena_bytes, without.arena_bytes + without.arena_bytes / 2);
}

// Masks take a hundredth of the parameters' memory. The sums that a block layer computes before pooling take 8 MiB,
// while a gradient of the same size is allocated; half of this is beyond the peak of dense training.
TEST(SparseExecutionMemoryTest, BlocksTakeLittleMoreMemoryThanDenseTraining) {
  const auto plan = [](const test::OptionTexts& more) {
    const Settings settings = test::settings_of({{"batch_size_d", "16"}, {"batch_size_g", "16"}}, more);
    return Trainer::plan(settings, 2000);
  };
  const TrainingPlan dense = plan({}), block = plan({{"method", "static"},
                                                     {"cell", "16x16"},
                                                     {"execution", "block"},
                                                     {"density_g", "0.1"},
                                                     {"density_d", "0.1"}});
  EXPECT_GT(block.slab_bytes, dense.slab_bytes);
  EXPECT_LE(static_cast<double>(block.slab_bytes), 1.01 * static_cast<double>(dense.slab_bytes));
  EXPECT_LE(static_cast<double>(block.arena_bytes), static_cast<double>(dense.arena_bytes) + 4.5 * 1024 * 1024);
}

// A plan has no masks, so its lists are sized for the densest layers that take this path.
TEST(SparseExecutionMemoryTest, ListsOfFewWeightsTakeLessThanPlanned) {
  const auto settings = [](const std::string& density) {
    return test::settings_of(
        {{"method", "static"}, {"execution", "weights"}, {"density_g", density}, {"density_d", density}}, {});
  };
  const Trainer few(settings("0.1"), images()), more(settings("0.5"), images());
  EXPECT_EQ(few.training_plan().slab_bytes, more.training_plan().slab_bytes);
  EXPECT_LT(few.slab_bytes(), more.slab_bytes());
  EXPECT_LT(more.slab_bytes(), more.training_plan().slab_bytes);
}

}  // namespace
}  // namespace poise
