// Training images stored on the device or streamed to it: both give the same bits for any timing. Also tests what a
// step may wait for and how the placement is chosen.
#include "apps/training/data_placement.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>

#include "apps/training/trainer.h"
#include "kernels/gpu/emulated/runtime.h"
#include "tests/support/deferred_kernels.h"
#include "tests/support/file_test_tools.h"
#include "tests/support/trainer_test_tools.h"

namespace poise {
namespace {

constexpr int64_t kClasses = 3;

const KernelTable& device_kernels() {
  static const KernelTable table = test::deferred_kernels();
  return table;
}

TrainerOptions small(Device device, DataPlacement placement) {
  TrainerOptions o;
  o.model = {.name = "sngan32", .width_g = 4, .width_d = 4, .latent_size = 8};
  o.train.batch_size_d = o.train.batch_size_g = 2;
  o.train.n_critic = 2;
  o.train.device = device;
  o.data.data_placement = placement;
  if (device == Device::emulated) o.kernels = &device_kernels();
  return o;
}
TrainerOptions conditional(Device device, DataPlacement placement) {
  TrainerOptions o = small(device, placement);
  o.model = {.name = "biggan32", .width_g = 4, .width_d = 4, .latent_size = 8, .classes = kClasses};
  return o;
}
// D's minibatch outlives its step, masks change, and captured steps are dropped and captured again.
TrainerOptions sparse(Device device, DataPlacement placement) {
  TrainerOptions o = small(device, placement);
  o.model.width_g = o.model.width_d = 8;
  o.sparse.method = "sdst-rigl";
  o.sparse.density_g = o.sparse.density_d = 0.5;
  o.sparse.density_rule = DensityRule::uniform;
  o.sparse.drop_fraction = 0.3;
  o.sparse.schedule_iterations = 6;
  o.sparse.update_every_g = 2;
  o.sparse.br_every = 1;
  o.sparse.execution = ExecutionChoice::dense;  // only the CPU can skip single weights
  return o;
}
using Make = TrainerOptions (*)(Device, DataPlacement);

// An epoch has six minibatches; the ring has eight slots.
const ImageSet& images() {
  static const ImageSet set = [] {
    ImageSet noise = test::noise_images(0, 13);
    for (int32_t i = 0; i < noise.count; ++i) noise.labels.push_back(i * i % kClasses);
    return noise;
  }();
  return set;
}
constexpr int kIterations = 9;  // three epochs

void iterate(Trainer& trainer, int times) {
  for (int i = 0; i < times; ++i) trainer.iterate();
}

struct State {
  test::State tensors;
  StepState step;
};
State state_of(Trainer& trainer) { return {test::state_of(trainer), trainer.step_state()}; }
void restore(Trainer& trainer, const State& state) { test::write_state(trainer, state.tensors, state.step); }
void expect_same(Trainer& trainer, const State& expected, const std::string& what) {
  const State now = state_of(trainer);
  EXPECT_EQ(test::differences(now.tensors, expected.tensors), std::vector<std::string>()) << what;
  EXPECT_EQ(std::memcmp(&now.step, &expected.step, sizeof now.step), 0) << what;
}

TEST(DataPlacement, StreamedDataGiveTheBitsOfDataOnTheDevice) {
  for (const Make make : {Make{small}, Make{conditional}, Make{sparse}}) {
    Trainer cpu(make(Device::cpu, DataPlacement::device), images());
    iterate(cpu, kIterations);
    const State expected = state_of(cpu);
    Trainer streamed_cpu(make(Device::cpu, DataPlacement::stream), images());
    EXPECT_TRUE(streamed_cpu.training_plan().data.streamed);
    iterate(streamed_cpu, kIterations);
    expect_same(streamed_cpu, expected, "cpu");
    for (uint64_t seed = 0; seed < 4; ++seed) {
      emulator::runtime().seed(seed);
      TrainerOptions options = make(Device::emulated, DataPlacement::stream);
      options.train.graph = seed > 0;
      Trainer streamed(options, images());
      iterate(streamed, kIterations);
      expect_same(streamed, expected, "emulated, seed " + std::to_string(seed));
    }
  }
}

TEST(DataPlacement, ARunResumesWithEitherPlacementAnywhere) {
  for (const Device device : {Device::cpu, Device::emulated}) {
    Trainer whole(small(device, DataPlacement::device), images());
    iterate(whole, kIterations);
    const State expected = state_of(whole);
    for (const int at : {1, 4, 7}) {
      for (const auto& [from, to] : {std::pair{DataPlacement::device, DataPlacement::stream},
                                     {DataPlacement::stream, DataPlacement::device},
                                     {DataPlacement::stream, DataPlacement::stream}}) {
        Trainer first(small(device, from), images()), second(small(device, to), images());
        iterate(first, at);
        iterate(second, 3);  // its state differs before the restore
        const State there = state_of(first);
        restore(second, there);
        iterate(second, kIterations - at);
        expect_same(second, expected, "resumed");
        restore(second, there);  // and once more from the same state
        iterate(second, kIterations - at);
        expect_same(second, expected, "rewound");
      }
    }
  }
}

TEST(DataPlacement, ASlowReaderIsWaitedFor) {
  for (const Device device : {Device::cpu, Device::emulated}) {
    Trainer whole(small(device, DataPlacement::device), images());
    iterate(whole, kIterations);
    TrainerOptions options = small(device, DataPlacement::stream);
    options.before_batch = [](uint64_t batch) {
      std::this_thread::sleep_for(std::chrono::milliseconds(batch == 5 ? 1000 : 2));
    };
    Trainer slow(options, images());
    iterate(slow, kIterations);
    expect_same(slow, state_of(whole), "slow reader");
    EXPECT_GT(slow.data_waits().for_reader, 0);
    EXPECT_EQ(whole.data_waits().for_reader + whole.data_waits().for_device, 0);
  }
}

// The only synchronisations are waits for a lagging device, counted by data_waits(). The host touches no device memory.
TEST(DataPlacement, AStreamedIterationNeitherAllocatesNorCopiesToTheHost) {
  for (uint64_t seed = 0; seed < 3; ++seed) {
    emulator::runtime().seed(seed);
    Trainer trainer(conditional(Device::emulated, DataPlacement::stream), images());
    emulator::runtime().run_late(seed == 0);
    emulator::runtime().protect_memory(true);
    for (int i = 0; i < kIterations; ++i) {
      auto expected = emulator::runtime().counts();
      const int64_t before = trainer.data_waits().for_device;
      trainer.iterate();
      expected.synchronizations += trainer.data_waits().for_device - before;
      EXPECT_EQ(emulator::runtime().counts(), expected) << "iteration " << i;
    }
    emulator::runtime().protect_memory(false);
    emulator::runtime().run_late(false);
    EXPECT_TRUE(seed > 0 || trainer.data_waits().for_device > 0);
  }
}

TEST(DataPlacement, ATrainerThatThrowsEndsItsReader) {
  static int calls_left;
  KernelTable failing = device_kernels();
  failing.adam = [](Context& ctx, auto... args) {
    if (!ctx.planning && --calls_left == 0) fail(ErrorKind::runtime, "no more");
    device_kernels().adam(ctx, args...);
  };
  for (const int calls : {1, 2, 4, 5}) {  // fails in plain steps and in a capture
    calls_left = calls;
    TrainerOptions options = small(Device::emulated, DataPlacement::stream);
    options.kernels = &failing;
    Trainer trainer(options, images());
    test::expect_error(ErrorKind::runtime, {"no more"}, [&] { iterate(trainer, kIterations); });
  }
  for (const Device device : {Device::cpu, Device::emulated}) {
    TrainerOptions options = small(device, DataPlacement::stream);
    std::atomic<bool> broken{true};
    options.before_batch = [&](uint64_t batch) {
      if (broken && batch == 9) fail(ErrorKind::data, "unreadable");
    };
    Trainer trainer(options, images());
    iterate(trainer, 3);
    const State good = state_of(trainer);
    test::expect_error(ErrorKind::data, {"unreadable"}, [&] { iterate(trainer, kIterations); });
    broken = false;
    restore(trainer, good);  // it can continue from an earlier state
    iterate(trainer, kIterations - 3);
    Trainer whole(small(device, DataPlacement::device), images());
    iterate(whole, kIterations);
    expect_same(whole, state_of(trainer), "after an error");
  }
}

TEST(DataPlacement, AStreamingTrainerKeepsTheImagesAndAnotherDoesNot) {
  for (const Device device : {Device::cpu, Device::emulated}) {
    const auto set = std::make_shared<const ImageSet>(images());
    {
      Trainer copied(small(device, DataPlacement::device), set);
      EXPECT_EQ(set.use_count(), 1);
      Trainer streaming(small(device, DataPlacement::stream), set);
      EXPECT_EQ(set.use_count(), 2);
    }
    EXPECT_EQ(set.use_count(), 1);
  }
}

constexpr size_t kMiB = size_t{1} << 20;

TEST(DataPlacement, AutoTakesTheDeviceWhereSevenEighthsOfItHoldEverything) {
  const auto choose = [](DataPlacement asked, Device device, size_t whole_set) {
    return place_data(asked, device, {.others = 300 * kMiB, .whole_set = whole_set, .ring = 2 * kMiB},
                      {.bytes = 800 * kMiB, .owner = "the GPU has left"});
  };
  const DataChoice fits = choose(DataPlacement::automatic, Device::cuda, 400 * kMiB);
  EXPECT_FALSE(fits.streamed);
  EXPECT_EQ(fits.bytes, 400 * kMiB);
  EXPECT_EQ(fits.text,
            "data on the device (auto: 400.0 MiB beside 300.0 MiB of everything else fit; the GPU has left 800.0 MiB)");
  const DataChoice does_not = choose(DataPlacement::automatic, Device::cuda, 400 * kMiB + 1);
  EXPECT_TRUE(does_not.streamed);
  EXPECT_EQ(does_not.bytes, 2 * kMiB);
  EXPECT_EQ(does_not.text,
            "data streamed (auto: 400.0 MiB beside 300.0 MiB of everything else do not fit; the GPU has left 800.0 "
            "MiB)");
  EXPECT_FALSE(choose(DataPlacement::device, Device::cuda, 500 * kMiB).streamed) << "the rest is at the user's risk";
  test::expect_error(ErrorKind::environment,
                     {"500.0 MiB beside 300.0 MiB", "the GPU has left 800.0 MiB", "use --data-placement stream"},
                     [&] { choose(DataPlacement::device, Device::cuda, 500 * kMiB + 1); });
  EXPECT_TRUE(choose(DataPlacement::stream, Device::cuda, 1).streamed);
  EXPECT_TRUE(choose(DataPlacement::stream, Device::cpu, 1).streamed);
  for (const DataPlacement placement : {DataPlacement::automatic, DataPlacement::device}) {
    EXPECT_FALSE(choose(placement, Device::cpu, 9000 * kMiB).streamed);
  }
}

TEST(DataPlacement, APlanKnowsTheMemoryOfItsDevice) {
  const int64_t more_than_any_machine = int64_t{1} << 50;  // images of 3 KiB
  const auto plan = [&](DataPlacement placement, int64_t count) {
    return Trainer::plan(conditional(Device::emulated, placement), count);
  };
  const size_t image = 32 * 32 * 3 + sizeof(int32_t), ring = MinibatchStream::kSlots * 2 * image;
  EXPECT_EQ(plan(DataPlacement::automatic, 100).data.bytes, 100 * image);
  EXPECT_EQ(plan(DataPlacement::automatic, more_than_any_machine).data.bytes, ring);
  EXPECT_EQ(plan(DataPlacement::stream, 100).data.bytes, ring);
  EXPECT_EQ(Trainer::plan(small(Device::emulated, DataPlacement::stream), 100).data.bytes, ring - 16 * sizeof(int32_t));
  test::expect_error(ErrorKind::environment, {"--data-placement stream"},
                     [&] { plan(DataPlacement::device, more_than_any_machine); });
}

}  // namespace
}  // namespace poise
