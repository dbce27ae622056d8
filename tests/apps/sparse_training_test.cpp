// Sparse training as a whole: every method at a small width, its invariants, resuming, and the balance ratio.
#include "apps/training/sparse_training.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>

#include "apps/run/run_state.h"
#include "kernels/core/parallel.h"
#include "tests/support/file_test_tools.h"
#include "tests/support/test_context.h"
#include "tests/support/trainer_test_tools.h"

namespace poise {
namespace {

using test::differences;
using test::noise_images;
using test::State;
using test::state_of;

// The smallest SNGAN-32, with updates every ten iterations and decisions by the last five measurements.
Settings small(const std::string& method, const test::OptionTexts& more = {}) {
  test::OptionTexts texts = {
      {"method", method},       {"width_g", "4"},         {"width_d", "4"},  {"latent_size", "8"},
      {"batch_size_d", "2"},    {"batch_size_g", "2"},    {"n_critic", "1"}, {"iterations", "60"},
      {"update_every_g", "10"}, {"update_every_d", "20"}, {"br_every", "2"}, {"br_window", "10"},
  };
  if (method != "dense") texts["density_g"] = "0.3";
  return test::settings_of(texts, more);
}

std::vector<float> floats(const std::vector<char>& bytes) {
  std::vector<float> x(bytes.size() / sizeof(float));
  std::memcpy(x.data(), bytes.data(), bytes.size());
  return x;
}

// Dead weights are zero, also in the moving average, and the alive count is that of the network's newest event.
void expect_invariants(Trainer& trainer, const std::map<std::string, MaskEvent>& newest) {
  const State state = state_of(trainer);
  for (const auto& [network, event] : newest) {
    int64_t alive = 0;
    for (const auto& [name, mask] : state) {
      if (!name.starts_with(network + ".mask.")) continue;
      const std::string path = name.substr(network.size() + 6);
      const std::vector<float> w = floats(state.at(network + "." + path));
      ASSERT_EQ(w.size(), mask.size()) << name;  // unstructured
      const auto ema = state.find(network + ".ema." + path);
      for (size_t i = 0; i < w.size(); ++i) {
        alive += mask[i];
        ASSERT_TRUE(mask[i] == 1 || w[i] == 0) << name << " " << i;
        ASSERT_TRUE(mask[i] == 1 || ema == state.end() || floats(ema->second)[i] == 0) << name << " " << i;
      }
    }
    ASSERT_EQ(alive, event.alive) << network << ", iteration " << event.iteration;
  }
}

class EveryMethod : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Methods, EveryMethod, testing::ValuesIn(method_names()), [](const auto& tested) {
  std::string name = tested.param;
  std::erase(name, '-');
  return name;
});

TEST_P(EveryMethod, TrainsThreeHundredIterationsAndKeepsItsInvariants) {
  const std::string method = GetParam();
  // D is wide enough not to die, which would leave G without gradients for growth, and wide enough that the passes of a
  // layer change their paths independently.
  Trainer trainer(small(method, {{"iterations", "300"}, {"width_d", "16"}}), noise_images());
  std::map<std::string, MaskEvent> newest;
  std::map<std::string, int> kinds;
  std::map<std::string, int64_t> first_alive;
  while (trainer.iteration() < 300) {
    trainer.iterate();
    bool changed = false;
    for (const MaskEvent& event : trainer.take_mask_events()) {
      newest[event.network] = event;
      kinds[event.network + " " + event.kind] += 1;
      first_alive.emplace(event.network, event.alive);
      changed = true;
      if (event.kind == "drop_grow" && event.network == "G") {
        EXPECT_EQ(event.alive, first_alive["G"]);
      }
      EXPECT_EQ(event.iteration, event.kind == "initial" ? 0 : trainer.iteration());
    }
    if (changed) expect_invariants(trainer, newest);
    ASSERT_TRUE(trainer.report().finite()) << trainer.iteration();
  }
  expect_invariants(trainer, newest);
  for (const auto& [name, bytes] : state_of(trainer)) {
    if (!name.starts_with("G.") && !name.starts_with("D.")) continue;
    if (name.find(".mask.") != std::string::npos) continue;
    for (const float x : floats(bytes)) ASSERT_TRUE(std::isfinite(x)) << name;
  }
  const bool rewires = method.starts_with("sdst") || method.starts_with("ddst");
  const bool controls = method == "dda" || method.starts_with("ddst");
  EXPECT_EQ(kinds["G drop_grow"], rewires ? 29 : 0);  // not at the last iteration, 300
  EXPECT_EQ(kinds["D raise"] + kinds["D lower"] + kinds["D none"] + kinds["D drop_grow"], controls ? 14 : 0);
  EXPECT_EQ(kinds["G prune"], method == "posthoc" ? 1 : method == "gradual" ? 22 : 0);  // by iteration 225
  EXPECT_EQ(kinds["G initial"], method == "dense" ? 0 : 1);
  EXPECT_EQ(kinds["D initial"], method == "dense" || method == "posthoc" || method == "gradual" ? 0 : 1);
  if (method != "dense") {
    EXPECT_NEAR(trainer.sparse_report().density_g, 0.3, 1e-3);
  }
}

// Stops at a mask update, between two, and after the last pruning; another Trainer continues.
TEST_P(EveryMethod, ResumesBitForBitAcrossMaskUpdates) {
  const Settings settings = small(GetParam());  // posthoc prunes at 40; gradual at 10, 20, 30 and 40
  const ImageSet images = noise_images();
  Trainer whole(settings, images);
  const test::TemporaryFolder folder;
  CheckpointStore store(folder.path() + "/checkpoints", 9);
  std::vector<MaskEvent> events;
  whole.take_mask_events();
  while (whole.iteration() < 60) {
    whole.iterate();
    for (const int64_t stop : {20, 45}) {
      if (whole.iteration() == stop) save_state(store, whole, settings, {.crc = 7});
    }
    for (const MaskEvent& event : whole.take_mask_events()) events.push_back(event);
  }
  for (const int64_t stop : {20, 45}) {
    SCOPED_TRACE(stop);
    Trainer resumed(settings, images);
    resumed.iterate();  // has its own history, which must not survive
    const SafetensorsFile file = CheckpointStore::load(store.path_of(stop));
    check_same_run(file, settings, 7);
    restore_state(file, resumed);
    EXPECT_TRUE(resumed.take_mask_events().empty());
    std::vector<MaskEvent> later;
    while (resumed.iteration() < 60) {
      resumed.iterate();
      for (const MaskEvent& event : resumed.take_mask_events()) later.push_back(event);
    }
    const State a = state_of(whole), b = state_of(resumed);
    EXPECT_EQ(a.size(), b.size());
    EXPECT_EQ(differences(a, b), std::vector<std::string>());
    std::erase_if(later, [&](const MaskEvent& event) { return event.iteration <= stop; });
    size_t i = 0;
    for (const MaskEvent& event : events) {
      if (event.iteration <= stop) continue;
      ASSERT_LT(i, later.size());
      EXPECT_EQ(later[i].kind, event.kind);
      EXPECT_EQ(later[i].alive, event.alive);
      EXPECT_EQ(later[i].dropped, event.dropped);
      EXPECT_EQ(later[i].layers, event.layers);
      ++i;
    }
    EXPECT_EQ(i, later.size());
  }
}

TEST(SparseTraining, IsTheSameForAnyNumberOfThreads) {
  const int threads = thread_count();
  std::vector<State> states;
  for (const int count : {1, 3}) {
    set_thread_count(count);
    Trainer trainer(small("ddst-strict", {{"cell", "2x2"}, {"density_d", "0.5"}}), noise_images());
    for (int i = 0; i < 41; ++i) trainer.iterate();
    states.push_back(state_of(trainer));
  }
  set_thread_count(threads);
  EXPECT_EQ(differences(states[0], states[1]), std::vector<std::string>());
}

TEST(SparseTraining, AMaskOfDensityOneIsDenseTraining) {
  Trainer dense(small("dense"), noise_images());
  Settings ones = small("static", {{"density_g", "0.5"}, {"br_every", "0"}});
  ones.sparse.density_g = ones.sparse.density_d = 1;  // not accepted as options
  Trainer masked(ones, noise_images());
  for (int i = 0; i < 12; ++i) dense.iterate(), masked.iterate();
  const State a = state_of(dense), b = state_of(masked);
  EXPECT_GT(b.size(), a.size());
  EXPECT_EQ(test::differences_in_common(a, b), std::vector<std::string>());
}

TEST(SparseTraining, MeasuringTheBalanceRatioChangesOnlyWhatForwardPassesChange) {
  Trainer plain(small("static", {{"br_every", "0"}}), noise_images());
  Trainer measured(small("static", {{"br_every", "1"}}), noise_images());
  plain.iterate(), measured.iterate();
  const std::vector<std::string> changed = test::differences_in_common(state_of(plain), state_of(measured));
  EXPECT_FALSE(changed.empty());
  for (const std::string& name : changed) {
    const bool statistics = name.starts_with("G.") && name.find(".running_") != std::string::npos;
    const bool power_iteration = name.starts_with("D.") && (name.ends_with(".u") || name.ends_with(".v"));
    EXPECT_TRUE(statistics || power_iteration || name == "work") << name;  // the probe is counted as work
  }
  const BalanceReadings readings = measured.sparse_report().balance;
  EXPECT_EQ(readings.entries, 1);
  EXPECT_TRUE(std::isfinite(readings.latest));
  EXPECT_TRUE(std::isnan(plain.sparse_report().balance.latest));
}

// G(z) = w z and D(x) = a x, without bias, so everything can be computed by hand.
struct LineGenerator : Generator {
  LineGenerator() : Generator("G"), linear(*this, "linear", 2, 1, {.bias = false}) {
    latent_size = 2;
    image_shape = {1, 1, 1};
  }
  Var operator()(Var z, const Tensor&) override { return reshape(linear(z), {z.shape()[0], 1, 1, 1}); }
  Linear linear;
};
struct LineDiscriminator : Discriminator {
  LineDiscriminator() : Discriminator("D"), linear(*this, "linear", 1, 1, {.bias = false}) {}
  Var operator()(Var x, const Tensor&) override { return linear(reshape(x, {x.shape()[0], 1})); }
  Linear linear;
};

// In one part or in two; without batch norm, the results are the same.
class BalanceProbe : public testing::TestWithParam<int64_t> {};

TEST_P(BalanceProbe, AgreesWithAHandComputedCase) {
  TestContext c(cpu_kernels());
  GanModel model{std::make_unique<LineGenerator>(), std::make_unique<LineDiscriminator>()};
  ParameterSlab g(*model.generator, DType::f32, Device::cpu, true),
      d(*model.discriminator, DType::f32, Device::cpu, false);
  const float w[] = {0.5f, -0.25f}, a = 2;
  copy_from_host(g.entries()[0].value, w);
  copy_from_host(d.entries()[0].value, &a);
  c.step.clocks[0].learning_rate = 0.1;
  OwnedTensor loss({2}, DType::f32, Device::cpu), means({3}, DType::f32, Device::cpu);
  GanStep step{.model = &model,
               .slab_g = &g,
               .slab_d = &d,
               .tape = &c.tape,
               .train = {.adam_eps = 1e-12, .accumulate = GetParam()}};
  step.loss_g = loss.tensor().slice(0, 1);
  step.mean_g = means.tensor().slice(0, 1);
  const OwnedTensor z = tensor_of<float>({2, 2}, {1, 2, 3, 4}), real = tensor_of<float>({2, 1, 1, 1}, {1, 4});
  g_step(step, {z.tensor()});
  c.tape.reset();
  c.arena.reset();
  Tensor a_post = means.tensor().slice(1, 1), r = means.tensor().slice(2, 1);
  balance_probe(step, {real.tensor()}, {z.tensor()}, a_post, r);
  BalanceQueue queue(1, Device::cpu);
  queue.push(c.ctx, a_post, means.tensor().slice(0, 1), r);
  // Mean z is (2, 3). a_pre = 2 (0.5 * 2 - 0.25 * 3) = 0.5. Both gradients of -mean D are negative, so Adam's first
  // step adds 0.1 to both weights: a_post = 2 (0.6 * 2 - 0.15 * 3) = 1.5. r = 2 * 2.5 = 5. BR = 1 / 4.5.
  const auto got = values_of<float>(means.tensor());
  EXPECT_NEAR(got[0], 0.5, 1e-6);
  EXPECT_NEAR(got[1], 1.5, 1e-6);
  EXPECT_NEAR(got[2], 5.0, 1e-6);
  EXPECT_NEAR(queue.read(c.ctx).latest, 1 / 4.5, 1e-6);
}
INSTANTIATE_TEST_SUITE_P(Parts, BalanceProbe, testing::Values(1, 2));

// The controller only uses the BR of the last window, acts on the nominal density, and D keeps exact counts.
TEST(SparseTraining, DdstRaisesDToItsLimitWhenTheBandLiesBelowAnyRatio) {
  Settings settings = small("ddst-strict", {{"iterations", "200"}, {"d_max", "0.42"}});
  settings.sparse.band_low = -2e9;  // outside the options' limits: every ratio is above the band
  settings.sparse.band_high = -1e9;
  Trainer strict(settings, noise_images());
  std::vector<std::string> kinds;
  std::vector<double> densities;
  while (strict.iteration() < 200) {
    strict.iterate();
    for (const MaskEvent& event : strict.take_mask_events()) {
      if (event.network != "D" || event.kind == "initial") continue;
      kinds.push_back(event.kind);
      densities.push_back(event.density);
    }
  }
  const std::vector<std::string> expected = {"raise",     "raise",     "raise",     "drop_grow", "drop_grow",
                                             "drop_grow", "drop_grow", "drop_grow", "drop_grow"};
  EXPECT_EQ(kinds, expected);
  ASSERT_EQ(densities.size(), 9u);
  for (size_t i = 0; i < densities.size(); ++i) EXPECT_NEAR(densities[i], std::min(0.3 + 0.05 * (i + 1.0), 0.42), 2e-3);
}

// The twentieth measurement fills the queue in iteration 40, and the decision of that iteration already reads it.
TEST(SparseTraining, DecidesOnceTheQueueIsFullAndByTheMeasurementOfTheSameIteration) {
  Trainer trainer(small("ddst-relaxed", {{"br_window", "40"}}), noise_images());
  std::vector<bool> has_reading;
  while (trainer.iteration() < 40) {
    trainer.iterate();
    for (const MaskEvent& event : trainer.take_mask_events()) {
      if (event.network != "D" || event.kind == "initial") continue;
      has_reading.push_back(!std::isnan(event.balance_ratio));
      if (!has_reading.back()) {
        EXPECT_EQ(event.kind, "none");
      }
    }
  }
  EXPECT_EQ(has_reading, (std::vector<bool>{false, true}));
}

TEST(SparseTraining, PosthocPrunesTheMovingAverage) {
  Trainer trainer(small("posthoc"), noise_images());
  while (trainer.iteration() < 39) trainer.iterate();
  EXPECT_EQ(trainer.sparse_report().density_g, 1.0);
  trainer.iterate();  // iteration 40: a last dense step, then pruning
  EXPECT_NEAR(trainer.sparse_report().density_g, 0.3, 1e-3);
  const State state = state_of(trainer);
  for (const auto& [name, bytes] : state) {
    if (!name.starts_with("G.ema.")) continue;
    EXPECT_EQ(bytes, state.at("G." + name.substr(6))) << name;
  }
}

TEST(SparseOptions, FillInWhatTheMethodImplies) {
  const Settings relaxed =
      test::options_of({{"method", "ddst-relaxed"}, {"density_g", "0.2"}, {"iterations", "5000"}}).settings();
  EXPECT_EQ(relaxed.sparse.density_d, 0.2);
  EXPECT_EQ(relaxed.sparse.band_low, 0.45);
  EXPECT_EQ(relaxed.sparse.band_high, 0.55);
  EXPECT_EQ(relaxed.sparse.update_every_d, 1000);
  EXPECT_EQ(relaxed.sparse.schedule_iterations, 0);
  EXPECT_EQ(relaxed.scheduled_sparse().schedule_iterations, 5000);
  const Settings dda =
      test::options_of({{"method", "dda"}, {"density_d", "0.4"}, {"update_every_d", "300"}}).settings();
  EXPECT_EQ(dda.sparse.density_d, 0.4);
  EXPECT_EQ(dda.sparse.band_low, 0.5);
  EXPECT_EQ(dda.sparse.band_high, 0.65);
  EXPECT_EQ(dda.sparse.update_every_d, 300);
  EXPECT_EQ(test::options_of({{"method", "ddst-strict"}, {"density_g", "0.1"}}).settings().sparse.update_every_d, 2000);
  EXPECT_EQ(test::options_of({{"method", "posthoc"}, {"density_g", "0.1"}}).settings().sparse.density_d, 1.0);
  EXPECT_EQ(test::options_of({{"iterations", "77"}}).settings().sparse.schedule_iterations,
            0);  // dense: nothing to fill in
}

TEST(SparseOptions, RefuseWhatDoesNotFitTogether) {
  const std::pair<test::OptionTexts, const char*> cases[] = {
      {{{"density_g", "0.5"}}, "method dense has no masks"},
      {{{"method", "static"}, {"density_g", "0.5"}, {"cell", "4x"}}, "cell: expected a form like"},
      {{{"method", "posthoc"}, {"density_g", "0.5"}, {"density_d", "0.5"}},
       "density_d: method posthoc has no masks in D"},
      {{{"method", "ddst-strict"}, {"density_g", "0.5"}, {"density_d", "0.6"}}, "expected at most d_max"},
      {{{"method", "dda"}, {"density_g", "0.5"}, {"br_every", "0"}}, "br_every: method dda follows the balance ratio"},
      {{{"method", "dda"}, {"density_g", "0.5"}, {"br_every", "50"}, {"update_every_d", "499"}},
       "at most a tenth of update_every_d"},
      {{{"method", "dda"}, {"density_g", "0.5"}, {"band_low", "0.7"}}, "band_low: expected less than band_high"},
      {{{"method", "static"}, {"density_g", "0.5"}, {"br_every", "20"}, {"br_window", "10"}},
       "br_window: expected at least br_every"},
  };
  for (const auto& [text, expected] : cases) {
    const OptionSet options = test::options_of(text);
    ASSERT_EQ(options.problems().size(), 1u) << expected;
    EXPECT_NE(options.problems()[0].find(expected), std::string::npos) << options.problems()[0];
  }
}

}  // namespace
}  // namespace poise
