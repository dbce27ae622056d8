// Gradient accumulation: for networks without batch norm, a step in several parts gives the same numbers as a step in
// one part, in less memory. The random numbers of the augmentation of D's inputs must not depend on the parts.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "apps/training/gan_step.h"
#include "apps/training/trainer.h"
#include "engine/nn/layers.h"
#include "tests/support/test_context.h"

namespace poise {
namespace {

// z -> linear -> [N,16,16,2] -> relu, upsampled conv -> tanh: without batch norm.
struct PlainGenerator : Generator {
  explicit PlainGenerator(bool spectral_norm = true)
      : Generator("G"),
        linear(*this, "linear", 4, 16 * 16 * 2),
        conv(*this, "conv", 2, 3, upsampled(same_padding(3)), {.spectral_norm = spectral_norm}) {
    latent_size = 4;
    image_shape = {32, 32, 3};
  }
  Var operator()(Var z, const Tensor&) override {
    return tanh(conv(relu(reshape(linear(z), {z.shape()[0], 16, 16, 2}))));
  }
  Linear linear;
  Conv2d conv;
};

struct Variant {
  int64_t parts = 1;
  DiffAugmentOptions augment;
};

std::vector<double> drawn(int64_t count, uint64_t index) {
  std::vector<double> values(static_cast<size_t>(count));
  normal_on_host(1, RandomStream::test, index, count, values.data());
  return values;
}

// Losses, logits and the whole state after two iterations of two D steps, a G step and a balance probe.
std::map<std::string, std::vector<double>> train(const Variant& variant) {
  constexpr int64_t n = 6;
  TestContext c(cpu_reference_kernels(), size_t{1} << 26);
  c.step.seed = 7;
  for (OptimizerClock& clock : c.step.clocks) clock.learning_rate = 1e-2;
  GanModel model = make_model({.name = "sngan32", .width_g = 4, .width_d = 4, .latent_size = 4});
  model.generator = std::make_unique<PlainGenerator>();
  ParameterSlab slab_g(*model.generator, DType::f64, Device::cpu, true);
  ParameterSlab slab_d(*model.discriminator, DType::f64, Device::cpu, false);
  initialise(*model.generator, InitScheme::pytorch, 1);
  initialise(*model.discriminator, InitScheme::pytorch, 2);
  slab_g.copy_value_to_ema(c.ctx);
  OwnedTensor results({7}, DType::f64, Device::cpu);
  const Tensor& r = results.tensor();
  GanStep step{.model = &model,
               .slab_g = &slab_g,
               .slab_d = &slab_d,
               .tape = &c.tape,
               .train = {.adam_eps = 1e-3,  // a smooth step, so rounding is not amplified
                         .ema_decay = 0.9,
                         .accumulate = variant.parts,
                         .diff_augment = variant.augment},
               .loss_d = r.slice(0, 1),
               .loss_g = r.slice(1, 1),
               .means_d = r.slice(2, 2),
               .mean_g = r.slice(4, 1)};

  std::map<std::string, std::vector<double>> seen;
  uint64_t index = 0;
  const auto run = [&](const std::string& name, const auto& f) {
    c.tape.reset();
    c.arena.reset();
    f();
    seen[name + std::to_string(index)] = values_of<double>(r);
  };
  for (int iteration = 0; iteration < 2; ++iteration) {
    OwnedTensor real, z;
    for (int i = 0; i < 2; ++i) {
      real = tensor_of<double>({n, 32, 32, 3}, drawn(n * 32 * 32 * 3, ++index));
      z = tensor_of<double>({n, 4}, drawn(n * 4, ++index));
      run("D step ", [&] { d_step(step, {real.tensor()}, {z.tensor()}); });
    }
    z = tensor_of<double>({n, 4}, drawn(n * 4, ++index));
    run("G step ", [&] { g_step(step, {z.tensor()}); });
    Tensor a_post = r.slice(5, 1), mean_real = r.slice(6, 1);
    run("balance ", [&] { balance_probe(step, {real.tensor()}, {z.tensor()}, a_post, mean_real); });
  }
  for (const ParameterSlab* slab : {&slab_g, &slab_d}) {
    const std::string name = slab == &slab_g ? "G." : "D.";
    for (const auto& e : slab->entries()) {
      for (const Tensor& t : {e.value, e.adam_m, e.adam_v, e.ema}) {
        if (t) seen[name + e.path + std::to_string(seen.size())] = values_of<double>(t);
      }
    }
    for (const auto& b : slab->buffers()) seen[name + b.path] = values_of<double>(b.value);
  }
  EXPECT_EQ(c.step.step, 6u);
  EXPECT_EQ(c.step.clocks[1].t, 4u);
  return seen;
}

double difference(const std::vector<double>& a, const std::vector<double>& b) {
  double worst = 0, largest = 1e-3;
  for (size_t i = 0; i < a.size(); ++i) {
    const double d = std::abs(a[i] - b[i]);
    if (!(d <= worst)) worst = d;
    largest = std::max(largest, std::abs(b[i]));
  }
  return worst / largest;
}

TEST(Accumulation, WithoutBatchNormEqualsTheFullBatch) {
  const DiffAugmentOptions all{.color = true, .translation = true, .cutout = true};
  std::vector<std::map<std::string, std::vector<double>>> whole;
  for (const DiffAugmentOptions& augment : {DiffAugmentOptions{}, all}) {
    whole.push_back(train({1, augment}));
    for (const int64_t parts : {2, 3, 6}) {
      const auto got = train({parts, augment});
      ASSERT_EQ(got.size(), whole.back().size());
      for (const auto& [name, values] : whole.back()) {
        EXPECT_FALSE(!(difference(got.at(name), values) <= 1e-11)) << name << " in " << parts << " parts";
      }
    }
  }
  // The inputs of D are indeed augmented: in D steps, in G steps and for the balance ratio.
  for (const char* name : {"D step 2", "G step 5", "balance 5"}) {
    EXPECT_GT(difference(whole[0].at(name), whole[1].at(name)), 1e-3) << name;
  }
}

// D(x) = a . x, without spectral norm.
struct LinearDiscriminator : Discriminator {
  LinearDiscriminator() : Discriminator("D"), linear(*this, "linear", 32 * 32 * 3, 1) {}
  Var operator()(Var x, const Tensor&) override { return linear(reshape(x, {x.shape()[0], 32 * 32 * 3})); }
  Linear linear;
};

// A G step that changes nothing must not change the mean logit, which requires equal augmentation before and after.
TEST(DiffAugment, TheBalanceProbeSeesTheFakesOfTheGStepAsItDid) {
  TestContext c(cpu_reference_kernels(), size_t{1} << 24);
  GanModel model{std::make_unique<PlainGenerator>(false), std::make_unique<LinearDiscriminator>()};
  ParameterSlab g(*model.generator, DType::f64, Device::cpu, true);
  ParameterSlab d(*model.discriminator, DType::f64, Device::cpu, false);
  initialise(*model.generator, InitScheme::pytorch, 1);
  initialise(*model.discriminator, InitScheme::pytorch, 2);
  OwnedTensor results({4}, DType::f64, Device::cpu);
  const Tensor& r = results.tensor();
  GanStep step{.model = &model,
               .slab_g = &g,
               .slab_d = &d,
               .tape = &c.tape,
               .train = {.diff_augment = {.color = true, .translation = true, .cutout = true}},
               .loss_g = r.slice(0, 1),
               .mean_g = r.slice(1, 1)};
  const OwnedTensor z = tensor_of<double>({2, 4}, drawn(8, 1));
  const OwnedTensor real = tensor_of<double>({2, 32, 32, 3}, drawn(2 * 32 * 32 * 3, 2));
  g_step(step, {z.tensor()});  // changes nothing: the clocks have learning rate 0
  Tensor a_post = r.slice(2, 1), mean_real = r.slice(3, 1);
  balance_probe(step, {real.tensor()}, {z.tensor()}, a_post, mean_real);
  const std::vector<double> got = values_of<double>(r);
  EXPECT_EQ(got[1], got[2]);
  EXPECT_NE(got[1], got[3]);
}

TEST(Accumulation, TakesLessMemory) {
  TrainerOptions o;
  o.model = {.name = "sngan32", .width_g = 16, .width_d = 16, .latent_size = 16};
  o.train.device = Device::cpu;
  std::vector<double> arena;
  for (const int64_t parts : {1, 2, 4, 8}) {
    o.train.accumulate = parts;
    const TrainingPlan plan = Trainer::plan(o, 1000);
    arena.push_back(static_cast<double>(plan.arena_bytes));
    RecordProperty("arena_bytes_" + std::to_string(parts), std::to_string(plan.arena_bytes));
  }
  EXPECT_LT(arena[1], 0.6 * arena[0]);
  EXPECT_LT(arena[2], 0.35 * arena[0]);
  EXPECT_LT(arena[3], 0.25 * arena[0]);
}

}  // namespace
}  // namespace poise
