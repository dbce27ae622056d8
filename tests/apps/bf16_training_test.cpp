// Training with bf16 activations on the CPU: the same training with different rounding and less memory.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernels/core/parallel.h"
#include "tests/support/precision_limits.h"
#include "tests/support/trainer_test_tools.h"

namespace poise {
namespace {

constexpr int64_t kCount = 64;
constexpr int kIterations = 60, kAveraged = 20;

// Vertical and horizontal stripes of random phase and width: something to learn.
const ImageSet& stripes() {
  static const ImageSet set = [] {
    ImageSet images = test::noise_images(/*lowest_bit=*/24, kCount);
    for (int64_t n = 0; n < kCount; ++n) {
      const int64_t phase = images.pixels[static_cast<size_t>(n * 3072)] % 8, width = 2 + n % 3;
      for (int64_t p = 0; p < 32; ++p) {
        for (int64_t q = 0; q < 32; ++q) {
          const bool light = ((n % 2 ? p : q) + phase) / width % 2 == 0;
          for (int64_t c = 0; c < 3; ++c) {
            images.pixels[static_cast<size_t>(((n * 32 + p) * 32 + q) * 3 + c)] = light ? 220 : 40;
          }
        }
      }
    }
    return images;
  }();
  return set;
}

TrainerOptions options(Precision precision, uint64_t seed = 1) {
  TrainerOptions o;
  o.model = {.name = "sngan32", .width_g = 16, .width_d = 16, .latent_size = 16};
  o.train.batch_size_d = o.train.batch_size_g = 4;
  o.train.n_critic = 2;
  o.train.seed = seed;
  o.train.device = Device::cpu;
  o.train.precision = precision;
  return o;
}

// The end of a run: mean logits of real and fake images, and the loss of D.
struct End {
  double real = 0, fake = 0, loss_d = 0;
};

End trained(Precision precision, uint64_t seed) {
  Trainer trainer(options(precision, seed), stripes());
  for (int i = 0; i < kIterations; ++i) trainer.iterate();
  End end;
  for (const IterationReport& report : trainer.reports(kAveraged)) {
    EXPECT_TRUE(report.finite());
    end.real += report.mean_real / kAveraged;
    end.fake += report.mean_fake / kAveraged;
    end.loss_d += report.loss_d / kAveraged;
  }
  return end;
}

// The means over six seeds differ by no more than the range of the exact runs over these seeds.
void expect_within_noise(std::vector<double> exact, std::vector<double> rounded, const char* what) {
  const auto mean = [](const std::vector<double>& x) {
    double sum = 0;
    for (const double v : x) sum += v;
    return sum / static_cast<double>(x.size());
  };
  std::vector<double> all = exact;
  const auto [least, most] = std::minmax_element(all.begin(), all.end());
  EXPECT_LE(std::abs(mean(exact) - mean(rounded)), *most - *least)
      << what << ": " << testing::PrintToString(exact) << " and " << testing::PrintToString(rounded);
}

TEST(Bf16Training, StaysWithinTheNoiseOfSeeds) {
  std::vector<double> real[2], fake[2], loss[2];
  for (const uint64_t seed : {1, 2, 3, 4, 5, 6}) {
    for (const bool rounded : {false, true}) {
      const End end = trained(rounded ? Precision::bf16 : Precision::fp32, seed);
      real[rounded].push_back(end.real), fake[rounded].push_back(end.fake), loss[rounded].push_back(end.loss_d);
    }
  }
  expect_within_noise(real[0], real[1], "mean logit of real images");
  expect_within_noise(fake[0], fake[1], "mean logit of fake images");
  expect_within_noise(loss[0], loss[1], "loss of D");
}

TEST(Bf16Training, StartsCloseToFp32AndIsNotTheSame) {
  for (const int64_t parts : {1, 2}) {  // per batch
    double loss_d[2];
    for (const bool rounded : {false, true}) {
      TrainerOptions o = options(rounded ? Precision::bf16 : Precision::fp32);
      o.train.accumulate = parts;
      Trainer trainer(o, stripes());
      trainer.iterate();
      loss_d[rounded] = trainer.report().loss_d;
    }
    EXPECT_LE(std::abs(loss_d[1] - loss_d[0]), limit_of(Precision::bf16) * std::max(1.0, loss_d[0])) << parts;
    EXPECT_NE(loss_d[1], loss_d[0]);
  }
}

// Parameters, moments and everything else in a checkpoint stay f32.
TEST(Bf16Training, MastersStayF32) {
  Trainer exact(options(Precision::fp32), stripes()), rounded(options(Precision::bf16), stripes());
  const std::vector<NamedTensor> a = exact.state(), b = rounded.state();
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].name, b[i].name);
    EXPECT_EQ(a[i].tensor.dtype, b[i].tensor.dtype) << a[i].name;
  }
}

TEST(Bf16Training, IsTheSameForAnyNumberOfThreads) {
  const int threads = thread_count();
  std::vector<test::State> states;
  for (const int count : {1, 2, 3}) {
    set_thread_count(count);
    Trainer trainer(options(Precision::bf16), stripes());
    trainer.iterate();
    trainer.iterate();
    states.push_back(test::state_of(trainer));
  }
  set_thread_count(threads);
  EXPECT_EQ(test::differences(states[0], states[1]), std::vector<std::string>());
  EXPECT_EQ(test::differences(states[0], states[2]), std::vector<std::string>());
}

// At full width, activations take most of the memory of a step.
TEST(Bf16Training, TakesLessMemory) {
  const auto bytes = [](Precision precision) {
    TrainerOptions o = options(precision);
    o.model.width_g = 256, o.model.width_d = 128, o.model.latent_size = 128;
    o.train.batch_size_d = 8, o.train.batch_size_g = 16;
    return static_cast<double>(Trainer::plan(o, kCount).arena_bytes);
  };
  EXPECT_LE(bytes(Precision::bf16), 0.7 * bytes(Precision::fp32));
}

}  // namespace
}  // namespace poise
