// End-to-end training with the GPU kernels: always on the emulated device, and on a CUDA device if there is one (the
// cases named "cuda"). Networks are narrow and batches small, because an emulated multiplication costs as much as a
// hundred real ones; the architecture, the data and every step are those of the preset "tiny".
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "apps/console/program.h"
#include "apps/run/run_record.h"
#include "apps/run/run_state.h"
#include "data/cifar10.h"
#include "engine/io/checkpoint.h"
#include "kernels/gpu/emulated/options.h"
#include "kernels/gpu/emulated/runtime.h"
#include "tests/support/gpu_targets.h"
#include "tests/support/precision_limits.h"
#include "tests/support/program_test_tools.h"

namespace poise {
namespace {

using test::ProgramResult;
using test::read_bytes;
using test::TemporaryFolder;

const ImageSet& images() {
  static const ImageSet set = read_cifar10(shared_folder("cifar10_sample", POISE_SAMPLE_DATA_DIR), CifarSplit::train);
  return set;
}

TrainerOptions tiny(Device device, const KernelTable* kernels = nullptr) {
  TrainerOptions o;
  o.model = {.name = "sngan32", .width_g = 8, .width_d = 8, .latent_size = 16};
  o.train.batch_size_d = o.train.batch_size_g = 2;
  o.train.n_critic = 1;
  // Adam divides a gradient by its own size. If the true gradient is 0 (a bias before a batch norm), only rounding
  // decides the direction of a full step. This epsilon is larger than rounding and smaller than real gradients.
  o.train.adam_eps = 1e-2;
  o.train.device = device;
  o.train.precision = Precision::fp32;  // a CUDA device would default to tf32
  o.kernels = kernels;
  return o;
}

struct State {
  std::string name;
  std::vector<float> values;
};
std::vector<State> state_of(Trainer& trainer) {
  std::vector<State> all;
  for (const auto& [name, tensor] : trainer.state()) {
    if (tensor.dtype != DType::f32) continue;  // counters of the host
    all.push_back({name, std::vector<float>(static_cast<size_t>(tensor.elements()))});
    copy_to_host(all.back().values.data(), tensor);
  }
  return all;
}

double relative_error(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double d = std::abs(static_cast<double>(a[i]) - b[i]);
    if (!(d <= difference)) difference = d;  // keeps a NaN
    size = std::max(size, std::abs(static_cast<double>(b[i])));
  }
  return difference / (size > 0 ? size : 1);
}

void iterate(Trainer& trainer, int times) {
  for (int i = 0; i < times; ++i) trainer.iterate();
}

class TrainOnDevice : public testing::TestWithParam<Target> {
 protected:
  void SetUp() override {
    if (!available(GetParam().device)) GTEST_SKIP() << gpu::why_unavailable(GetParam().device);
  }
  static TrainerOptions options() { return tiny(GetParam().device, GetParam().kernels); }
};
std::vector<Target> training_targets() {  // the checker is too slow for several iterations; it runs one below
  std::vector<Target> targets = gpu_targets();
  std::erase_if(targets, [](const Target& target) { return target.kernels == &checked::kernels(); });
  return targets;
}
INSTANTIATE_TEST_SUITE_P(Devices, TrainOnDevice, testing::ValuesIn(training_targets()),
                         [](const auto& test) { return std::string(test.param.name); });

TEST_P(TrainOnDevice, ThreeIterationsOnRealImagesAgreeWithTheCpu) {
  Trainer cpu(tiny(Device::cpu), images()), device(options(), images());
  iterate(cpu, 3);
  iterate(device, 3);
  const double limit = limit_of(Precision::fp32);
  const auto expected = cpu.reports(3), got = device.reports(3);
  for (size_t i = 0; i < 3; ++i) {
    for (const auto field : {&IterationReport::loss_d, &IterationReport::loss_g, &IterationReport::mean_real,
                             &IterationReport::mean_fake}) {
      const double size = std::max(1.0, std::abs(expected[i].*field));
      EXPECT_TRUE(std::abs(got[i].*field - expected[i].*field) <= limit * size)
          << "iteration " << i + 1 << ": " << got[i].*field << " instead of " << expected[i].*field;
    }
  }
  const auto a = state_of(device), b = state_of(cpu);
  for (size_t i = 0; i < b.size(); ++i) {
    // Moments average gradients, whose zeros are pure rounding. They are checked through their effect on the weights.
    if (b[i].name.find("adam_") != std::string::npos) continue;
    EXPECT_TRUE(relative_error(a[i].values, b[i].values) <= limit)
        << b[i].name << ": " << relative_error(a[i].values, b[i].values);
  }
}

TEST_P(TrainOnDevice, ReplayedStepsEqualPlainStepsBitForBit) {
  TrainerOptions with = options(), without = options();
  with.train.graph = true;
  without.train.graph = false;
  Trainer replayed(with, images()), plain(without, images());
  iterate(replayed, 4);  // two plain ones, one captured and replayed, one replayed
  iterate(plain, 4);
  const auto a = state_of(replayed), b = state_of(plain);
  for (size_t i = 0; i < a.size(); ++i) EXPECT_EQ(a[i].values, b[i].values) << a[i].name;
  EXPECT_EQ(replayed.report().loss_d, plain.report().loss_d);
  // Each replay draws its own latents and batch: the mean logits of the last two iterations, both replays, differ.
  const auto last = replayed.reports(2);
  EXPECT_NE(last[0].mean_real, last[1].mean_real);
  EXPECT_NE(last[0].mean_fake, last[1].mean_fake);
}

// Uses more minibatches than the ring has slots, the later ones in replayed steps.
TEST_P(TrainOnDevice, StreamedImagesGiveTheSameBits) {
  TrainerOptions whole = options(), streamed = options();
  whole.train.n_critic = streamed.train.n_critic = 3;
  whole.data.data_placement = DataPlacement::device;
  streamed.data.data_placement = DataPlacement::stream;
  Trainer a(whole, images()), b(streamed, images());
  iterate(a, 4);
  iterate(b, 4);
  EXPECT_TRUE(b.training_plan().data.streamed && !a.training_plan().data.streamed);
  const auto x = state_of(a), y = state_of(b);
  for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(x[i].values, y[i].values) << x[i].name;
}

// 16x16 blocks with cuSPARSE, compared with dense layers in which dead blocks are zero, with a mask update in between.
TEST_P(TrainOnDevice, CusparseTrainsAsMaskedDenseLayersDo) {
  TrainerOptions o = options();
  o.model.width_g = o.model.width_d = 16;
  o.sparse.method = "sdst-rigl";
  o.sparse.density_g = o.sparse.density_d = 0.5;
  o.sparse.density_rule = DensityRule::uniform;
  o.sparse.cell = {16, 16, false};
  o.sparse.drop_fraction = 0.3;
  o.sparse.schedule_iterations = 3;
  o.sparse.update_every_g = 2;
  o.sparse.br_every = 0;
  o.sparse.execution = ExecutionChoice::dense;
  Trainer dense(o, images());
  o.sparse.execution = ExecutionChoice::cusparse;
  Trainer cusparse(o, images());
  for (const ExecutionEvent& event : cusparse.take_execution_events()) {
    EXPECT_EQ(event.decision.execution, Execution::cusparse) << event.decision.to_string();
  }
  iterate(dense, 3);
  iterate(cusparse, 3);
  EXPECT_LT(cusparse.work_done().executed_flops, 0.9 * dense.work_done().executed_flops);
  EXPECT_EQ(cusparse.work_done().flops, dense.work_done().flops);
  const double limit = limit_of(Precision::fp32);
  const auto expected = dense.reports(3), got = cusparse.reports(3);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(std::abs(got[i].loss_d - expected[i].loss_d) <= limit * std::max(1.0, std::abs(expected[i].loss_d)));
    EXPECT_TRUE(std::abs(got[i].loss_g - expected[i].loss_g) <= limit * std::max(1.0, std::abs(expected[i].loss_g)));
  }
  const auto a = state_of(cusparse), b = state_of(dense);
  size_t compared = 0;
  for (const State& of_dense : b) {
    if (of_dense.name.find("adam_") != std::string::npos) continue;  // dead weights have gradients on one path only
    for (const State& state : a) {
      if (state.name != of_dense.name) continue;
      ++compared;
      EXPECT_TRUE(relative_error(state.values, of_dense.values) <= limit)
          << state.name << ": " << relative_error(state.values, of_dense.values);
    }
  }
  EXPECT_GT(compared, 30u);
}

TEST_P(TrainOnDevice, Bf16TrainsCloseToFp32) {
  TrainerOptions bf16_options = options();
  bf16_options.train.precision = Precision::bf16;
  Trainer exact(options(), images()), rounded(bf16_options, images());
  iterate(exact, 2);
  iterate(rounded, 2);
  const auto a = rounded.reports(2), b = exact.reports(2);
  // Only the first loss has a limit that depends on the precision: Adam amplifies any rounding to a full step.
  EXPECT_TRUE(std::abs(a[0].loss_d - b[0].loss_d) <= limit_of(Precision::bf16) * std::max(1.0, b[0].loss_d))
      << a[0].loss_d << " and " << b[0].loss_d;
  EXPECT_NE(a[0].loss_d, b[0].loss_d) << "it did compute otherwise";
  EXPECT_TRUE(a[1].finite());
}

// A whole iteration without races, missing barriers or uninitialised reads; the checker throws if it finds one.
TEST(TrainEmulated, TheCheckerFindsNothingInAnIteration) {
  Trainer checked_kernels(tiny(Device::emulated, &checked::kernels()), images());
  Trainer plain(tiny(Device::emulated), images());
  iterate(checked_kernels, 1);
  iterate(plain, 1);
  const auto a = state_of(checked_kernels), b = state_of(plain);
  for (size_t i = 0; i < a.size(); ++i) EXPECT_EQ(a[i].values, b[i].values) << a[i].name;
}

// Any order of threads, blocks and work in streams gives the same bits.
TEST(TrainEmulated, NothingDependsOnTheOrderOfThreads) {
  std::vector<std::vector<State>> states;
  for (const uint64_t seed : {0, 1, 2}) {
    emulator::runtime().seed(seed);
    emulator::set_options(seed == 0 ? emulator::Options{} : emulator::randomised(seed));
    Trainer trainer(tiny(Device::emulated), images());
    iterate(trainer, 1);
    states.push_back(state_of(trainer));
    emulator::set_options({});
  }
  for (size_t i = 0; i < states[0].size(); ++i) {
    EXPECT_EQ(states[1][i].values, states[0][i].values) << states[0][i].name;
    EXPECT_EQ(states[2][i].values, states[0][i].values) << states[0][i].name;
  }
}

// --- the program ---

const std::string kTrainGan = program_folder() + "/train_gan";

ProgramResult train(const TemporaryFolder& folder, const std::vector<std::string>& arguments) {
  test::ProgramSetting setting{.folder = folder.path()};
  for (const char* name : {"LD_LIBRARY_PATH", "STAND_IN_ORDER"}) {  // decide which CUDA the program finds
    if (const char* value = std::getenv(name)) setting.environment.push_back(std::string(name) + "=" + value);
  }
  return test::run_program_in(setting, kTrainGan, arguments);
}
std::vector<std::string> run_on(const std::string& device, const std::vector<std::string>& more) {
  std::vector<std::string> all = {"--device", device, "--n-critic", "1"};
  all.insert(all.end(), more.begin(), more.end());
  return test::small_run(all);
}
std::string checkpoint(const TemporaryFolder& folder, const std::string& runs, int64_t step) {
  return CheckpointStore(folder / runs + "/latest/checkpoints", 1).path_of(step);
}

// With mask updates before and after the interruption.
TEST_P(TrainOnDevice, AResumedRunEqualsAnUninterruptedOneBitForBit) {
  const TemporaryFolder folder;
  const std::string device = GetParam().name;
  const auto sparse_run = [&](const std::string& runs, const std::string& iterations) {
    return train(folder, run_on(device, {"--runs", runs, "--iterations", iterations, "--method", "sdst-rigl",
                                         "--schedule-iterations", "8", "--density-g", "0.5", "--update-every-g", "1"}));
  };
  const auto whole = sparse_run("whole", "4");
  ASSERT_EQ(whole.exit_code, 0) << whole.err;
  const std::string said = "device " + device + " (" + gpu::runtime(GetParam().device).facts().name + "; asked for)";
  EXPECT_NE(whole.err.find(said), std::string::npos) << said << " in: " << whole.err;
  ASSERT_EQ(sparse_run("parts", "2").exit_code, 0);
  const auto second = train(folder, {"--resume", "parts/latest", "--device", device, "--iterations", "4"});
  ASSERT_EQ(second.exit_code, 0) << second.err;
  EXPECT_NE(second.err.find("device " + device), std::string::npos) << second.err;
  EXPECT_FALSE(read_bytes(checkpoint(folder, "whole", 4)).empty());
  EXPECT_TRUE(read_bytes(checkpoint(folder, "whole", 4)) == read_bytes(checkpoint(folder, "parts", 4)));
}

TEST_P(TrainOnDevice, TheProgramLosesWhatItLosesOnTheCpu) {
  const TemporaryFolder folder;
  std::vector<RunRecord> runs;
  for (const std::string& device : {std::string("cpu"), std::string(GetParam().name)}) {
    const auto run = train(folder, run_on(device, {"--preset", "tiny", "--precision", "fp32", "--eval-every", "0",
                                                   "--runs", device, "--iterations", "3"}));
    ASSERT_EQ(run.exit_code, 0) << run.err;
    runs.push_back(read_run(folder / device + "/latest"));
  }
  for (const char* loss : {"loss_d", "loss_g"}) {
    const Points cpu = runs[0].of(loss), gpu = runs[1].of(loss);
    ASSERT_EQ(cpu.size(), 3u);
    ASSERT_EQ(gpu.size(), 3u);
    for (size_t i = 0; i < 3; ++i) {
      const double expected = cpu[i].second;
      EXPECT_NEAR(gpu[i].second, expected, limit_of(Precision::fp32) * std::max(1.0, std::abs(expected))) << loss;
    }
  }
}

TEST(TrainEmulated, ACheckpointOfOneDeviceLoadsOnTheOther) {
  const TemporaryFolder folder;
  ASSERT_EQ(train(folder, run_on("emulated", {"--iterations", "1"})).exit_code, 0);
  for (const std::string device : {"cpu", "emulated"}) {
    const std::string to = device == "cpu" ? "2" : "3";
    const auto resumed = train(folder, {"--resume", "runs/latest", "--device", device, "--iterations", to});
    EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
    EXPECT_NE(resumed.err.find("device " + device), std::string::npos) << resumed.err;
    EXPECT_FALSE(read_bytes(checkpoint(folder, "runs", std::stoll(to))).empty());
  }
}

TEST(TrainEmulated, WhatADeviceCannotDoIsOneLineWithARemedy) {
  const TemporaryFolder folder;
  const auto tf32_on_cpu = train(folder, test::small_run({"--device", "cpu", "--precision", "tf32"}));
  EXPECT_EQ(tf32_on_cpu.exit_code, 2);
  EXPECT_NE(tf32_on_cpu.err.find("the CPU computes in fp32 and bf16 but got tf32; use --device cuda"),
            std::string::npos)
      << tf32_on_cpu.err;
  if (gpu::why_unavailable(Device::cuda).empty()) return;
  const auto no_cuda = train(folder, test::small_run({"--device", "cuda"}));
  EXPECT_EQ(no_cuda.exit_code, 3);
  EXPECT_NE(no_cuda.err.find(gpu::why_unavailable(Device::cuda)), std::string::npos) << no_cuda.err;
  EXPECT_EQ(std::count(no_cuda.err.begin(), no_cuda.err.end(), '\n'), 1) << no_cuda.err;
}

}  // namespace
}  // namespace poise
