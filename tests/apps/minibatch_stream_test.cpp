// The two halves of streaming: the thread that reads minibatches into slots, and the transfer to a device. Both must
// work no matter how late the other is.
#include "apps/training/minibatch_stream.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>

#include "kernels/gpu/emulated/runtime.h"
#include "kernels/gpu/emulated/stream.h"
#include "kernels/train/gather_images.h"
#include "tests/support/file_test_tools.h"

namespace poise {
namespace {

using Batches = std::vector<std::vector<uint8_t>>;

constexpr int64_t kSide = 2, kBatch = 3, kPerEpoch = 4;  // one of 13 images is left out in each epoch
constexpr MinibatchOrder kOrder{.batch_size = kBatch, .batches_per_epoch = kPerEpoch};

std::shared_ptr<const ImageSet> small_images() {
  ImageSet s{.name = "random", .count = 13, .height = kSide, .width = kSide, .channels = 3};
  for (uint64_t i = 0; i < 13 * kSide * kSide * 3; ++i) {
    s.pixels.push_back(static_cast<uint8_t>(philox4x32(1, i, static_cast<uint32_t>(RandomStream::test), 0).x[0]));
  }
  for (int32_t i = 0; i < 13; ++i) s.labels.push_back(i * i % 5);
  return std::make_shared<const ImageSet>(std::move(s));
}

// The pixels of a minibatch, followed by its labels.
std::vector<uint8_t> expected_batch(const ImageSet& set, uint64_t seed, uint64_t batch) {
  std::vector<uint8_t> pixels, labels;
  for (uint64_t j = 0; j < kBatch; ++j) {
    const uint64_t index = permute(batch % kPerEpoch * kBatch + j, 13, seed, batch / kPerEpoch);
    const uint8_t* first = set.pixels.data() + index * kSide * kSide * 3;
    pixels.insert(pixels.end(), first, first + kSide * kSide * 3);
    labels.push_back(static_cast<uint8_t>(set.labels[index]));
  }
  pixels.insert(pixels.end(), labels.begin(), labels.end());
  return pixels;
}

struct HostRing {
  static constexpr int64_t count = 4;
  std::vector<uint8_t> pixels = std::vector<uint8_t>(count * kBatch * kSide * kSide * 3);
  std::vector<int32_t> labels = std::vector<int32_t>(count * kBatch);
  MinibatchSlots slots() { return {.count = count, .pixels = pixels.data(), .labels = labels.data()}; }
  std::vector<uint8_t> batch(uint64_t number) const {
    const size_t slot = number % count, size = pixels.size() / count;
    std::vector<uint8_t> all(&pixels[slot * size], &pixels[slot * size] + size);
    for (size_t j = 0; j < kBatch; ++j) all.push_back(static_cast<uint8_t>(labels[slot * kBatch + j]));
    return all;
  }
};

TEST(MinibatchReader, ReadsWhatGatherImagesWouldAndOnlyIntoFreeSlots) {
  const auto set = small_images();
  for (const auto& [seed, first] : {std::pair<uint64_t, uint64_t>{7, 0}, {7, 5}, {8, 2}}) {
    HostRing ring;
    std::atomic<uint64_t> given_back{first};
    std::atomic<int> too_early{0};
    MinibatchReader reader(set, kOrder, ring.slots(), [&](uint64_t batch) {
      too_early += batch >= given_back + HostRing::count ? 1 : 0;
      if (batch % 3 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    });
    reader.start(seed, first);
    for (uint64_t batch = first; batch < first + 3 * kPerEpoch; ++batch) {
      reader.wait_for(batch);
      EXPECT_TRUE(reader.ready(batch));
      EXPECT_EQ(ring.batch(batch), expected_batch(*set, seed, batch)) << seed << ", " << batch;
      if (batch < first + 2) continue;  // two slots stay in use
      EXPECT_EQ(ring.batch(batch - 2), expected_batch(*set, seed, batch - 2)) << "overwritten while in use";
      given_back = batch - 1;
      reader.give_back(batch - 1);
    }
    EXPECT_EQ(too_early, 0);
  }
}

TEST(MinibatchReader, EndsWhereverItIs) {
  HostRing ring;
  MinibatchReader never_started(small_images(), kOrder, ring.slots());
  {
    MinibatchReader blocked(small_images(), kOrder, ring.slots());
    blocked.start(1, 0), blocked.wait_for(3);
  }
  for (int i = 0; i < 50; ++i) {
    MinibatchReader busy(small_images(), kOrder, ring.slots());
    busy.start(1, 0);
    if (i % 2 == 1) busy.start(1, 9);
  }
}

TEST(MinibatchReader, WhatItsThreadThrowsReachesWhoWaits) {
  HostRing ring;
  std::atomic<bool> broken{true};
  MinibatchReader reader(small_images(), kOrder, ring.slots(), [&](uint64_t batch) {
    if (broken && batch == 2) fail(ErrorKind::data, "the disk is gone");
  });
  reader.start(1, 0);
  reader.wait_for(1);
  for (int i = 0; i < 2; ++i) {
    test::expect_error(ErrorKind::data, {"the disk is gone"}, [&] { reader.wait_for(2); });
  }
  test::expect_error(ErrorKind::runtime, {"no slot"}, [&] { reader.wait_for(4); });  // otherwise it would wait forever
  broken = false;
  reader.start(1, 2);
  reader.wait_for(2);
}

// Steps that record the contents of their slots.
struct Steps {
  std::shared_ptr<const ImageSet> set = small_images();
  emulator::Runtime& runtime = emulator::runtime();
  std::unique_ptr<gpu::Stream> queue = runtime.make_stream();
  std::shared_ptr<Batches> seen = std::make_shared<Batches>();

  void launch(const MinibatchStream& stream, uint64_t batch) {
    const auto* pixels = stream.images().data<uint8_t>();
    const auto* labels = stream.labels().data<int32_t>();
    static_cast<emulator::Stream&>(*queue).submit([=, all = seen] {
      const uint64_t first = batch % MinibatchStream::kSlots * kBatch, size = kSide * kSide * 3;
      std::vector<uint8_t> taken(pixels + first * size, pixels + (first + kBatch) * size);
      for (uint64_t j = 0; j < kBatch; ++j) taken.push_back(static_cast<uint8_t>(labels[first + j]));
      all->push_back(taken);
    });
  }
};

TEST(MinibatchStream, EveryStepFindsItsMinibatchHoweverLateTheDeviceOrTheReader) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    emulator::runtime().seed(seed);
    const bool late = seed % 2 == 0;
    Steps steps;
    steps.runtime.run_late(late);
    MinibatchStream stream(steps.set, kOrder, true, Device::emulated, steps.queue.get(), [&](uint64_t batch) {
      if (seed % 4 < 2 && batch % 5 == 0) std::this_thread::sleep_for(std::chrono::microseconds(300));
    });
    for (const uint64_t first : {3, 20}) {
      stream.restart({.seed = seed, .d_batches = first});
      steps.seen->clear();
      for (uint64_t i = 0; i < 30; ++i) {
        const auto before = steps.runtime.counts();
        const MinibatchStream::Waits waits = stream.waits();
        stream.before_step();
        // The host runs at most one and a half rings ahead.
        EXPECT_LE(i, steps.seen->size() + MinibatchStream::kSlots * 3 / 2) << "step " << i;
        auto expected = before;
        expected.synchronizations += stream.waits().for_device - waits.for_device;
        EXPECT_EQ(steps.runtime.counts(), expected) << "step " << i;
        steps.launch(stream, first + i);
        stream.after_step();
      }
      EXPECT_TRUE(!late || stream.waits().for_device > 0) << "the host ran ahead of a late device";
      steps.runtime.synchronize();
      ASSERT_EQ(steps.seen->size(), 30u);
      for (uint64_t i = 0; i < 30; ++i) {
        EXPECT_EQ((*steps.seen)[i], expected_batch(*steps.set, seed, first + i)) << "seed " << seed << ", step " << i;
      }
    }
    steps.runtime.run_late(false);
  }
}

}  // namespace
}  // namespace poise
