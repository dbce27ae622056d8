// Conditional models in the Trainer: labels reach G and D on the CPU and on a device, and samples follow the labels.
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/gpu/emulated/runtime.h"
#include "tests/support/deferred_kernels.h"
#include "tests/support/trainer_test_tools.h"

namespace poise {
namespace {

using test::state_of;

constexpr int64_t kClasses = 3;

const KernelTable& device_kernels() {
  static const KernelTable table = test::deferred_kernels();
  return table;
}

TrainerOptions small(Device device = Device::cpu) {
  TrainerOptions o;
  o.model = {.name = "biggan32", .width_g = 4, .width_d = 4, .latent_size = 8, .classes = kClasses};
  o.train.batch_size_d = o.train.batch_size_g = 3;
  o.train.n_critic = 2;
  o.train.learning_rate_g = o.train.learning_rate_d = 1e-2;
  o.train.device = device;
  if (device == Device::emulated) o.kernels = &device_kernels();
  return o;
}

ImageSet images() {
  ImageSet s = test::noise_images(/*lowest_bit=*/0);
  for (int32_t i = 0; i < s.count; ++i) s.labels.push_back(i * i % kClasses);
  return s;
}

void iterate(Trainer& trainer, int times) {
  for (int i = 0; i < times; ++i) trainer.iterate();
}

ErrorKind kind_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.kind();
  }
  ADD_FAILURE() << "accepted";
  return ErrorKind::runtime;
}

TEST(ConditionalTraining, ADevicePlainOrReplayingEqualsTheCpu) {
  Trainer cpu(small(), images());
  iterate(cpu, 5);
  for (const bool graphs : {false, true}) {
    emulator::runtime().seed(graphs);
    TrainerOptions options = small(Device::emulated);
    options.train.graph = graphs;
    Trainer device(options, images());
    iterate(device, 5);
    EXPECT_EQ(test::differences(state_of(cpu), state_of(device)), std::vector<std::string>());
    EXPECT_TRUE(device.report().finite());
  }
}

// The emulated GPU kernels use the same labels, minibatches and latents, so the losses are equal except for rounding.
// Only one step of each network, because Adam's first update turns the sign of a gradient that is pure rounding into
// a step of full length.
TEST(ConditionalTraining, TheGpuKernelsSeeTheSame) {
  TrainerOptions options = small(Device::emulated);
  options.kernels = nullptr;
  options.train.n_critic = 1;
  options.train.learning_rate_d = 1e-5;
  Trainer gpu(options, images());
  options.train.device = Device::cpu;
  Trainer cpu(options, images());
  iterate(gpu, 1), iterate(cpu, 1);
  const IterationReport a = gpu.report(), b = cpu.report();
  EXPECT_NEAR(a.loss_d, b.loss_d, 1e-4 * std::abs(b.loss_d));
  EXPECT_NEAR(a.loss_g, b.loss_g, 1e-4 * std::max(1.0, std::abs(b.loss_g)));
  EXPECT_NEAR(a.mean_real, b.mean_real, 1e-4 * std::max(1.0, std::abs(b.mean_real)));
  EXPECT_NEAR(a.mean_fake, b.mean_fake, 1e-4 * std::max(1.0, std::abs(b.mean_fake)));
}

TEST(ConditionalTraining, TheLabelsOfTheImagesMatter) {
  ImageSet other = images();
  for (int32_t& label : other.labels) label = (label + 1) % kClasses;
  Trainer a(small(), images()), b(small(), images()), c(small(), other);
  iterate(a, 1), iterate(b, 1), iterate(c, 1);
  EXPECT_EQ(test::differences(state_of(a), state_of(b)), std::vector<std::string>());
  EXPECT_NE(test::differences(state_of(a), state_of(c)), std::vector<std::string>());
}

TEST(ConditionalTraining, SamplesFollowTheirClass) {
  Trainer trainer(small(), images());
  iterate(trainer, 3);
  const std::vector<uint64_t> seeds = {7, 7, 7, 8};
  const std::vector<float> latents = latents_of_seeds(seeds, 8);
  const auto picture = [&](const std::vector<uint8_t>& all, int64_t i) {
    const int64_t size = 32 * 32 * 3;
    return std::vector<uint8_t>(all.begin() + i * size, all.begin() + (i + 1) * size);
  };
  const auto all = trainer.sample(latents, {0, 1, 0, 0}, Weights::live, Mode::evaluate_running, 4);
  EXPECT_EQ(picture(all, 0), picture(all, 2)) << "same latent, same class";
  EXPECT_NE(picture(all, 0), picture(all, 1)) << "same latent, another class";
  EXPECT_NE(picture(all, 0), picture(all, 3)) << "another latent";
  const auto sample = [&](const std::vector<int32_t>& labels) {
    trainer.sample(latents, labels, Weights::ema, Mode::evaluate_batch, 4);
  };
  EXPECT_EQ(kind_of([&] { sample({}); }), ErrorKind::usage);
  EXPECT_EQ(kind_of([&] { sample({0, 1, 2}); }), ErrorKind::usage);
  EXPECT_EQ(kind_of([&] { sample({0, 1, 2, kClasses}); }), ErrorKind::usage);
}

TEST(ConditionalTraining, DataWithoutItsLabelsIsRefused) {
  ImageSet none = images(), beyond = images();
  none.labels.clear();
  beyond.labels[5] = kClasses;
  EXPECT_EQ(kind_of([&] { Trainer(small(), none); }), ErrorKind::data);
  EXPECT_EQ(kind_of([&] { Trainer(small(), beyond); }), ErrorKind::data);
}

TEST(ConditionalTraining, GridsHaveAColumnPerClass) {
  EXPECT_EQ(cycling_labels(5, 3), (std::vector<int32_t>{0, 1, 2, 0, 1}));
  EXPECT_TRUE(cycling_labels(5, 0).empty());
  EXPECT_EQ(grid_columns(64, 10), 10);
  EXPECT_EQ(grid_columns(64, 0), 8);
  EXPECT_EQ(grid_columns(64, 200), 8);
  EXPECT_EQ(grid_columns(4, 10), 4);
}

}  // namespace
}  // namespace poise
