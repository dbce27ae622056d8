// The presets: there is one for every data set, model and method of the paper. It matches the paper's settings, is
// complete, and gives a run that can be planned.
#include <gtest/gtest.h>

#include <sstream>

#include "apps/options/complete_options.h"
#include "apps/options/option_sources.h"
#include "apps/run/run_state.h"
#include "apps/training/sparse_methods.h"

namespace poise {
namespace {

// The settings of "Balanced Training for Sparse GANs", with the values in which they differ.
struct Setting {
  const char* name;
  int64_t iterations, batch_size_d, batch_size_g, n_critic;
  int64_t parameters_g, parameters_d;
  int64_t relaxed_every;  // iterations between decisions of ddst-relaxed
};
constexpr Setting kSettings[] = {
    {"cifar10-sngan32", 100000, 64, 128, 5, 4276739, 1053824, 1000},
    {"stl10-sngan48", 100000, 64, 128, 5, 4878083, 19542721, 2000},
    {"cifar10-biggan32", 200000, 50, 50, 4, 4304387, 4207361, 1000},
    {"tiny-imagenet-biggan64", 200000, 256, 256, 1, 17335204, 30796722, 1000},
};

const char* const kPaperMethods[] = {"dense", "static",       "sdst-set",    "sdst-rigl",
                                     "dda",   "ddst-relaxed", "ddst-strict", "posthoc"};

// The options that every preset (or its base) must state, so that a later change of a default does not change what it
// trains. The defaults of options that were added later preserve the earlier behaviour.
constexpr const char* kStated =
    "model width_g width_d latent_size init dataset split image_size flip iterations batch_size_d batch_size_g "
    "n_critic "
    "loss learning_rate_g learning_rate_d learning_rate_decay adam_beta1 adam_beta2 adam_eps ema_decay ema_start "
    "diff_augment log_every sample_every sample_count sample_scale checkpoint_every keep_checkpoints eval_every "
    "eval_metric eval_images";

OptionSet preset(const std::string& name) {
  OptionSet options;
  read_options_preset(name, options);
  complete_options(options);
  options.throw_if_problems();
  return options;
}

TEST(Presets, EachIsCompleteAndCanBePlanned) {
  for (const std::string& name : preset_names()) {
    SCOPED_TRACE(name);
    const OptionSet options = preset(name);
    std::istringstream stated(kStated);
    for (std::string key; stated >> key;) EXPECT_NE(options.origin(key), "default") << key;
    const TrainingPlan plan = Trainer::plan(options.settings(), 50000);
    EXPECT_GT(plan.flops, 0);
    EXPECT_LT(plan.slab_bytes + plan.arena_bytes, size_t{40} << 30);
  }
}

TEST(Presets, TheDefaultsAreThePapersFirstRun) {
  EXPECT_EQ(config_hash(fixed_settings(preset("cifar10-sngan32-dense").settings())), config_hash(fixed_settings({})));
}

TEST(Presets, EverySettingHasEveryMethod) {
  for (const Setting& setting : kSettings) {
    for (const char* text : kPaperMethods) {
      const std::string method = text;
      SCOPED_TRACE(std::string(setting.name) + "-" + method);
      const Settings s = preset(std::string(setting.name) + "-" + method).settings();
      EXPECT_EQ(s.sparse.method, method);
      EXPECT_EQ(s.train.iterations, method == "posthoc" ? setting.iterations * 3 / 2 : setting.iterations);
      EXPECT_EQ(s.train.batch_size_d, setting.batch_size_d);
      EXPECT_EQ(s.train.batch_size_g, setting.batch_size_g);
      EXPECT_EQ(s.train.n_critic, setting.n_critic);
      EXPECT_EQ(s.train.learning_rate_decay, LearningRateDecay::constant);
      EXPECT_FALSE(s.train.diff_augment.any());
      EXPECT_EQ(s.train.ema_start, 0);
      if (method == "dense") {
        const TrainingPlan plan = Trainer::plan(s, 50000);
        EXPECT_EQ(plan.parameters_g, setting.parameters_g);
        EXPECT_EQ(plan.parameters_d, setting.parameters_d);
        continue;
      }
      const SparseOptions o = s.scheduled_sparse();
      EXPECT_EQ(o.density_g, 0.1);
      EXPECT_EQ(o.update_every_g, 500);
      const MaskPolicies policies = policies_of(o);
      EXPECT_EQ(policies.g->due(setting.iterations) && policies.g->planned_density(setting.iterations - 1) == 1,
                method == "posthoc");
      EXPECT_EQ(o.schedule_iterations, s.train.iterations);
      EXPECT_EQ(o.density_d, method == "posthoc" ? 1 : 0.1);
      if (!policies.follow_balance()) continue;
      EXPECT_EQ(o.update_every_d, method == "ddst-relaxed" ? setting.relaxed_every : 2000);
      EXPECT_EQ(o.band_low, method == "dda" ? 0.5 : 0.45);
      EXPECT_EQ(o.band_high, method == "dda" ? 0.65 : 0.55);
      EXPECT_EQ(o.d_max, 0.5);
    }
  }
}

}  // namespace
}  // namespace poise
