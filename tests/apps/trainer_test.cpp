// The Trainer on a device: everything between kernels and programs. The device is the stand-in runtime with the CPU's
// kernels (deferred_kernels.h), so every number must equal the CPU's bit for bit. train_gan_emulated_test runs the GPU
// kernels.
#include "apps/training/trainer.h"

#include <gtest/gtest.h>

#include <cstring>

#include "kernels/gpu/emulated/runtime.h"
#include "tests/support/deferred_kernels.h"
#include "tests/support/trainer_test_tools.h"

namespace poise {
namespace {

const KernelTable& device_kernels() {
  static const KernelTable table = test::deferred_kernels();
  return table;
}

TrainerOptions small(Device device) {
  TrainerOptions o;
  o.model = {.name = "sngan32", .width_g = 4, .width_d = 4, .latent_size = 8};
  o.train.batch_size_d = o.train.batch_size_g = 2;
  o.train.n_critic = 2;
  o.train.device = device;
  if (device == Device::emulated) o.kernels = &device_kernels();
  return o;
}

const ImageSet& images() {
  static const ImageSet set = test::noise_images(/*lowest_bit=*/0);
  return set;
}

void expect_same_state(Trainer& a, Trainer& b) {
  EXPECT_EQ(test::differences(test::state_of(a), test::state_of(b)), std::vector<std::string>());
  const StepState s = a.step_state(), t = b.step_state();
  EXPECT_EQ(std::memcmp(&s, &t, sizeof s), 0);
  EXPECT_EQ(a.iteration(), b.iteration());
}

void expect_same_reports(const std::vector<IterationReport>& a, const std::vector<IterationReport>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].iteration, b[i].iteration);
    EXPECT_EQ(a[i].loss_d, b[i].loss_d);
    EXPECT_EQ(a[i].loss_g, b[i].loss_g);
    EXPECT_EQ(a[i].mean_real, b[i].mean_real);
    EXPECT_EQ(a[i].mean_fake, b[i].mean_fake);
    EXPECT_TRUE(a[i].finite());
  }
}

void iterate(Trainer& trainer, int times) {
  for (int i = 0; i < times; ++i) trainer.iterate();
}

// Kernels launched one by one or replayed give the numbers of the CPU, whenever the device executes them.
TEST(TrainerOnADevice, PlainStepsAndReplayedStepsEqualTheCpu) {
  Trainer cpu(small(Device::cpu), images());
  iterate(cpu, 5);
  for (const bool graphs : {false, true}) {
    for (uint64_t seed = 0; seed < 3; ++seed) {
      emulator::runtime().seed(seed);
      TrainerOptions options = small(Device::emulated);
      options.train.graph = graphs;
      Trainer device(options, images());
      iterate(device, 5);
      expect_same_state(cpu, device);
      expect_same_reports(cpu.reports(5), device.reports(5));
    }
  }
}

// Checked for every kind of step: plain, captured, replayed. The host does not access device memory either.
TEST(TrainerOnADevice, AnIterationNeitherAllocatesNorCopiesToTheHostNorWaits) {
  Trainer trainer(small(Device::emulated), images());
  emulator::runtime().protect_memory(true);
  for (int i = 0; i < 6; ++i) {
    const auto before = emulator::runtime().counts();
    trainer.iterate();
    EXPECT_EQ(trainer.iteration(), i + 1);
    EXPECT_EQ(emulator::runtime().counts(), before) << "iteration " << i;
  }
  // Between iterations, the host may copy device memory but still not access it directly.
  EXPECT_EQ(trainer.reports(10).size(), 6u);
  trainer.sample(std::vector<float>(3 * 8, 0.5f), {}, Weights::ema, Mode::evaluate_running, 2);
  trainer.set_step_state(trainer.step_state());
  test::state_of(trainer);
  emulator::runtime().protect_memory(false);
}

// Counts the calls of a kernel by the host in each iteration: in plain runs and the capture, then none.
TEST(TrainerOnADevice, ReplayedStepsCallNoKernel) {
  static int calls;
  calls = 0;
  KernelTable counting = device_kernels();
  counting.adam = [](Context& ctx, auto... args) {
    ++calls;
    device_kernels().adam(ctx, args...);
  };
  TrainerOptions options = small(Device::emulated);
  options.kernels = &counting;
  Trainer trainer(options, images());
  std::vector<int> per_iteration;
  for (int i = 0; i < 6; ++i) {
    const int before = calls;
    trainer.iterate();
    per_iteration.push_back(calls - before);
  }
  // D runs twice per iteration: plain, plain; captured, replayed; ... G: plain; plain; captured; ...
  EXPECT_EQ(per_iteration, (std::vector<int>{3, 2, 1, 0, 0, 0}));
  options.train.graph = false;
  Trainer plain(options, images());
  const int before = calls;
  iterate(plain, 4);
  EXPECT_EQ(calls - before, 12);
}

TEST(TrainerOnADevice, AProfileSeesEveryLaunchOfACapturedStep) {
  Trainer trainer(small(Device::emulated), images());
  iterate(trainer, 4);
  Profile profile;
  trainer.set_profile(&profile);
  trainer.iterate();
  trainer.set_profile(nullptr);
  const Profile::Row seen = profile.total(), planned = trainer.training_plan().layers.total();
  EXPECT_EQ(seen.calls, planned.calls);
  EXPECT_EQ(seen.work.flops, planned.work.flops);
  trainer.iterate();
  Trainer cpu(small(Device::cpu), images());
  iterate(cpu, 6);
  expect_same_state(cpu, trainer);
}

TEST(TrainerOnADevice, ReportsAreThoseSinceTheStart) {
  Trainer trainer(small(Device::emulated), images());
  EXPECT_TRUE(trainer.reports(5).empty());
  iterate(trainer, 3);
  const auto all = trainer.reports(100), last = trainer.reports(2);
  ASSERT_EQ(all.size(), 3u);
  expect_same_reports({all[1], all[2]}, last);
  EXPECT_NE(all[0].loss_d, all[1].loss_d);
  trainer.set_step_state(trainer.step_state());
  EXPECT_TRUE(trainer.reports(5).empty());
  trainer.iterate();
  EXPECT_EQ(trainer.report().iteration, 4);
}

// Decaying learning rates, a moving average that starts late, augmented images, steps in two parts.
TrainerOptions with_everything(Device device) {
  TrainerOptions o = small(device);
  o.train.decay_start = 1;
  o.train.decay_end = 8;
  o.train.ema_start = 3;
  o.train.diff_augment = {.color = true, .translation = true, .cutout = true};
  o.train.accumulate = 2;
  o.train.batch_size_d = o.train.batch_size_g = 4;
  return o;
}

void move_state(Trainer& from, Trainer& to) { test::write_state(to, test::state_of(from), from.step_state()); }

TEST(TrainerOnADevice, ARunMovesBetweenDevicesAndResumesBitForBit) {
  for (const auto& options : {small, with_everything}) {
    Trainer whole(options(Device::cpu), images());
    iterate(whole, 9);
    Trainer first(options(Device::emulated), images()), second(options(Device::cpu), images()),
        third(options(Device::emulated), images());
    iterate(first, 4);
    move_state(first, second);
    iterate(second, 1);
    iterate(third, 3);  // so that captured steps exist; they must not depend on the state
    move_state(second, third);
    iterate(third, 4);
    expect_same_state(whole, third);
  }
}

// Schedules count iterations, although D is updated n_critic times in each.
TEST(Trainer, SchedulesCountIterations) {
  TrainerOptions o = small(Device::cpu);
  o.model.width_d = 16;  // wide enough that some gradient always reaches the weights
  o.train.batch_size_d = o.train.batch_size_g = 4;
  o.train.decay_start = 1;
  o.train.decay_end = 3;
  o.train.ema_start = 2;
  Trainer trainer(o, images());
  const auto values = [&](const std::string& prefix) {  // of all parameters, concatenated
    std::string all;
    for (const auto& [name, bytes] : test::state_of(trainer)) {
      const bool plain =
          prefix.size() > 2 || (!name.starts_with(prefix + "adam_") && !name.starts_with(prefix + "ema."));
      const bool parameter = name.ends_with(".weight") || name.ends_with(".bias") || name.ends_with("gamma");
      if (name.starts_with(prefix) && plain && parameter) all.append(bytes.begin(), bytes.end());
    }
    return all;
  };
  std::vector<std::string> g, d;
  for (int t = 1; t <= 5; ++t) {
    trainer.iterate();
    g.push_back(values("G."));
    d.push_back(values("D."));
    EXPECT_FALSE(g.back().empty());
    EXPECT_EQ(values("G.ema.") == g.back(), t <= 2) << t;
  }
  for (const auto& all : {g, d}) {
    EXPECT_TRUE(all[1] != all[2]) << "the third iteration still learns";
    EXPECT_TRUE(all[2] == all[3] && all[2] == all[4]) << "the fourth does not";
  }
}

TEST(TrainerOnADevice, SamplesEqualTheCpusAndLeaveTrainingAlone) {
  Trainer cpu(small(Device::cpu), images()), device(small(Device::emulated), images());
  iterate(cpu, 4);
  iterate(device, 4);
  const std::vector<float> latents = latents_of_seeds({1, 2, 3, 4, 5}, 8);
  for (const Mode mode : {Mode::evaluate_batch, Mode::evaluate_running}) {
    for (const Weights weights : {Weights::ema, Weights::live}) {
      EXPECT_EQ(cpu.sample(latents, {}, weights, mode, 2), device.sample(latents, {}, weights, mode, 2));
    }
  }
  iterate(cpu, 2);
  iterate(device, 2);
  expect_same_state(cpu, device);
}

// --- StepGraph on its own ---

struct Device1 {
  Arena arena{1 << 16, Device::emulated};
  OwnedTensor step{Shape{sizeof(StepState)}, DType::u8, Device::emulated};
  std::unique_ptr<gpu::Stream> stream = emulator::runtime().make_stream();
  Context ctx{.device = Device::emulated,
              .kernels = &device_kernels(),
              .arena = &arena,
              .step = reinterpret_cast<StepState*>(step.tensor().bytes),
              .stream = stream.get()};
  Tape tape{ctx};
};

TEST(StepGraph, RunsTwiceCapturesReplaysAndStartsAgainAfterAChange) {
  Device1 d;
  int runs = 0;
  double value = 1;
  OwnedTensor sum({1}, DType::f32, Device::emulated);
  StepGraph graph(d.tape, [&] {
    ++runs;
    Tensor x = d.arena.alloc({1}, DType::f32);
    d.ctx.kernels->fill(d.ctx, value, x);  // by value: a replay uses the value at capture
    d.ctx.kernels->add(d.ctx, sum.tensor(), x, sum.tensor());
  });
  const auto launch = [&] {
    graph.launch();
    float total;
    copy_to_host(&total, sum.tensor());
    return std::pair(runs, total);
  };
  using Seen = std::pair<int, float>;
  EXPECT_EQ(launch(), Seen(1, 1));
  EXPECT_EQ(launch(), Seen(2, 2));
  EXPECT_FALSE(graph.captured());
  EXPECT_EQ(launch(), Seen(3, 3)) << "captured, then replayed once";
  EXPECT_TRUE(graph.captured());
  EXPECT_EQ(launch(), Seen(3, 4));
  value = 10;
  EXPECT_EQ(launch(), Seen(3, 5));
  graph.invalidate();
  EXPECT_EQ(launch(), Seen(4, 15)) << "plain";
  EXPECT_EQ(launch(), Seen(5, 25)) << "captured anew";
  EXPECT_EQ(launch(), Seen(5, 35));
  d.ctx.synchronous = true;
  EXPECT_EQ(launch(), Seen(6, 45)) << "synchronous launches are no replays";
}

TEST(StepGraph, TwoReplaysDrawDifferentNumbers) {
  Device1 d;
  const AdamOptions adam;
  OwnedTensor z({64}, DType::f32, Device::emulated);
  StepGraph graph(d.tape, [&] {
    d.ctx.kernels->begin_step(d.ctx, Network::generator, adam);
    d.ctx.kernels->random_normal(d.ctx, RandomStream::latent_g, z.tensor());
  });
  for (uint64_t step = 1; step <= 6; ++step) {
    graph.launch();
    std::vector<float> drawn(64);
    copy_to_host(drawn.data(), z.tensor());
    std::vector<double> expected(64);
    normal_on_host(0, RandomStream::latent_g, step, 64, expected.data());
    EXPECT_EQ(drawn, std::vector<float>(expected.begin(), expected.end())) << "step " << step;
  }
  EXPECT_TRUE(graph.captured());
}

TEST(StepGraph, WhatACaptureRefusesReachesTheCallerAndEndsTheCapture) {
  Device1 d;
  bool bad = false;
  StepGraph graph(d.tape, [&] {
    if (bad) Arena(1 << 20, Device::emulated);
  });
  graph.launch();
  graph.launch();
  bad = true;
  EXPECT_THROW(graph.launch(), Error);
  EXPECT_FALSE(emulator::runtime().capturing());
  EXPECT_FALSE(graph.captured());
  bad = false;
  graph.launch();
  EXPECT_TRUE(graph.captured());
}

// With POISE_SYNC=1, an error of the device names the layer that launched the kernel.
TEST(StepGraph, ASynchronousContextNamesTheLayerOfAnAsynchronousError) {
  Device1 d;
  KernelTable broken = device_kernels();
  broken.tanh_forward = [](Context& ctx, const Tensor&, Tensor&) {
    static_cast<emulator::Stream&>(*ctx.stream).submit([] { fail(ErrorKind::runtime, "an address is wrong"); });
  };
  d.ctx.kernels = &broken;
  d.ctx.synchronous = true;
  const std::string path = "G.block1";
  StepGraph graph(d.tape, [&] {
    const Var x = d.tape.constant(d.arena.alloc({4}, DType::f32));
    const Scope scope(d.tape, path);
    leaky_relu(tanh(leaky_relu(x, 0.5f)), 0.5f);
  });
  try {
    graph.launch();
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "G.block1: an address is wrong");
  }
}

}  // namespace
}  // namespace poise
