// The device layer below the ops: random numbers, the optimiser, the data order.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <set>

#include "tests/support/test_context.h"

namespace poise {
namespace {

std::array<uint32_t, 4> words(const Philox4& p) { return {p.x[0], p.x[1], p.x[2], p.x[3]}; }

// The known answers of the authors' Random123 library. Our counter is {element 48 bits, stream 16, step 64}.
TEST(Philox, GivesTheKnownAnswers) {
  using Words = std::array<uint32_t, 4>;
  EXPECT_EQ(words(philox4x32(0, 0, 0, 0)), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(words(philox4x32(~uint64_t{0}, 0xffffffffffff, 0xffff, ~uint64_t{0})),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  // Counter 243f6a88 85a308d3 13198a2e 03707344, key a4093822 299f31d0: the digits of pi.
  EXPECT_EQ(words(philox4x32(0x299f31d0a4093822, 0x08d3243f6a88, 0x85a3, 0x0370734413198a2e)),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, UniformNumbersLieStrictlyBetweenZeroAndOne) {
  EXPECT_GT(uniform_open(0), 0.0f);
  EXPECT_LT(uniform_open(~0u), 1.0f);
  std::vector<double> u(100000);
  uniform_on_host(7, RandomStream::test, 1, static_cast<int64_t>(u.size()), u.data());
  double sum = 0;
  for (const double x : u) {
    ASSERT_TRUE(x > 0 && x < 1);
    sum += x;
  }
  EXPECT_NEAR(sum / 1e5, 0.5, 4 * 0.2887 / std::sqrt(1e5));  // four standard errors
}

TEST(Philox, PermuteIsABijectionAndDiffersByEpochAndKey) {
  for (const uint64_t n : {1, 2, 3, 10, 50, 2000, 50000}) {
    auto order = [n](uint64_t key, uint64_t epoch) {
      std::vector<uint64_t> indices(n);
      for (uint64_t i = 0; i < n; ++i) indices[i] = permute(i, n, key, epoch);
      return indices;
    };
    const std::vector<uint64_t> first = order(5, 0);
    EXPECT_EQ(std::set<uint64_t>(first.begin(), first.end()).size(), n) << n;
    EXPECT_LT(*std::max_element(first.begin(), first.end()), n) << n;
    EXPECT_EQ(first, order(5, 0)) << n;
    if (n < 10) continue;  // so few orders exist that two may agree
    EXPECT_NE(first, order(5, 1)) << n;
    EXPECT_NE(first, order(6, 0)) << n;
  }
}

// A shuffle must not keep neighbours together or images near their original place.
TEST(Philox, PermuteLeavesNoTraceOfTheOrder) {
  constexpr uint64_t n = 50000;
  double displacement = 0;
  int neighbours = 0;
  for (uint64_t i = 0; i < n; ++i) {
    const auto here = static_cast<double>(permute(i, n, 3, 9));
    const auto next = static_cast<double>(permute((i + 1) % n, n, 3, 9));
    displacement += std::abs(here - static_cast<double>(i)) / static_cast<double>(n);
    neighbours += std::abs(here - next) == 1 ? 1 : 0;
  }
  EXPECT_NEAR(displacement / static_cast<double>(n), 1.0 / 3, 0.01);  // two uniform points
  EXPECT_LT(neighbours, 12);                                          // 2 expected
}

TEST(Random, NormalNumbersHaveTheMomentsOfTheNormalDistribution) {
  TestContext c;
  c.step.seed = 11;
  constexpr int64_t n = 200001;
  OwnedTensor y({n}, DType::f64, Device::cpu);
  c.ctx.kernels->random_normal(c.ctx, RandomStream::latent_g, y.tensor());
  double sum[5] = {};
  for (const double x : values_of<double>(y.tensor())) {
    for (int power = 1; power <= 4; ++power) sum[power] += std::pow(x, power) / n;
  }
  const double standard_error = 1 / std::sqrt(static_cast<double>(n));
  EXPECT_NEAR(sum[1], 0, 4 * standard_error);
  EXPECT_NEAR(sum[2], 1, 4 * std::sqrt(2.0) * standard_error);
  EXPECT_NEAR(sum[3], 0, 4 * std::sqrt(15.0) * standard_error);
  EXPECT_NEAR(sum[4], 3, 4 * std::sqrt(96.0) * standard_error);
}

TEST(Random, NumbersDependOnSeedStreamStepAndElementAlone) {
  auto draw = [](uint64_t seed, RandomStream stream, uint64_t step, int64_t count, DType dtype) {
    TestContext c;
    c.step.seed = seed;
    c.step.step = step;
    OwnedTensor y({count}, dtype, Device::cpu);
    c.ctx.kernels->random_normal(c.ctx, stream, y.tensor());
    if (dtype == DType::f64) return values_of<double>(y.tensor());
    const std::vector<float> values = values_of<float>(y.tensor());
    return std::vector<double>(values.begin(), values.end());
  };
  const auto reference = draw(1, RandomStream::latent_d, 5, 1000, DType::f64);
  std::vector<double> host(1000);
  normal_on_host(1, RandomStream::latent_d, 5, 1000, host.data());
  EXPECT_EQ(reference, host);
  const auto prefix = draw(1, RandomStream::latent_d, 5, 37, DType::f64);
  EXPECT_TRUE(std::equal(prefix.begin(), prefix.end(), reference.begin()));
  const auto f32 = draw(1, RandomStream::latent_d, 5, 1000, DType::f32);
  for (size_t i = 0; i < f32.size(); ++i) EXPECT_EQ(f32[i], static_cast<double>(static_cast<float>(reference[i])));
  EXPECT_NE(reference, draw(2, RandomStream::latent_d, 5, 1000, DType::f64));
  EXPECT_NE(reference, draw(1, RandomStream::latent_g, 5, 1000, DType::f64));
  EXPECT_NE(reference, draw(1, RandomStream::latent_d, 6, 1000, DType::f64));
}

template <class T>
void adam_follows_the_formula(double beta1, double limit, const UpdateSchedule& schedule = {}) {
  constexpr int64_t n = 37;
  constexpr double lr = 2e-4, decay = 0.9;
  const AdamOptions options{.beta1 = beta1, .beta2 = 0.9, .eps = 1e-8, .schedule = schedule};
  TestContext c;
  c.step.clocks[1].learning_rate = lr;  // the discriminator's; the generator's clock must not matter
  c.step.clocks[0].learning_rate = 1;
  OwnedTensor value({n}, dtype_of<T>(), Device::cpu), m({n}, dtype_of<T>(), Device::cpu);
  OwnedTensor v({n}, dtype_of<T>(), Device::cpu), ema({n}, dtype_of<T>(), Device::cpu);
  std::vector<double> w(n), m_ref(n), v_ref(n), ema_ref(n);
  for (int64_t i = 0; i < n; ++i) {
    w[i] = ema_ref[i] = static_cast<T>(std::sin(static_cast<double>(i)));
    value.tensor().data<T>()[i] = ema.tensor().data<T>()[i] = static_cast<T>(w[i]);
  }
  for (int t = 1; t <= 10; ++t) {
    std::vector<T> g(n);
    for (int64_t i = 0; i < n; ++i) g[i] = static_cast<T>(i == 5 ? 0.0 : std::cos(static_cast<double>(i * t)));
    const OwnedTensor grad = tensor_of<T>({n}, g);
    c.ctx.kernels->begin_step(c.ctx, Network::discriminator, options);
    c.ctx.kernels->adam(
        c.ctx, Network::discriminator, options, decay,
        {.grad = grad.tensor(), .value = value.tensor(), .m = m.tensor(), .v = v.tensor(), .ema = ema.tensor()});
    for (int64_t i = 0; i < n; ++i) {
      const double gi = static_cast<double>(g[i]);
      m_ref[i] = beta1 * m_ref[i] + (1 - beta1) * gi;
      v_ref[i] = 0.9 * v_ref[i] + (1 - 0.9) * gi * gi;
      const double m_hat = m_ref[i] / (1 - std::pow(beta1, t)), v_hat = v_ref[i] / (1 - std::pow(0.9, t));
      double rate = lr;
      if (schedule.decay_end > 0) {
        const double begin = static_cast<double>(schedule.decay_begin), end = static_cast<double>(schedule.decay_end);
        rate *= std::clamp((end - (t - 1)) / (end - begin), 0.0, 1.0);
      }
      w[i] -= rate * m_hat / (std::sqrt(v_hat) + 1e-8);
      const double kept = t <= static_cast<int>(schedule.ema_start) ? 0 : decay;
      ema_ref[i] = kept * ema_ref[i] + (1 - kept) * w[i];
    }
    for (int64_t i = 0; i < n; ++i) {
      EXPECT_NEAR(value.tensor().data<T>()[i], w[i], limit) << "t " << t;
      EXPECT_NEAR(m.tensor().data<T>()[i], m_ref[i], limit);
      EXPECT_NEAR(v.tensor().data<T>()[i], v_ref[i], limit);
      EXPECT_NEAR(ema.tensor().data<T>()[i], ema_ref[i], limit);
    }
  }
  EXPECT_EQ(value.tensor().data<T>()[5], static_cast<T>(std::sin(5.0)));  // no gradient, no move
  EXPECT_EQ(c.step.step, 10u);
  EXPECT_EQ(c.step.clocks[1].t, 10u);
  EXPECT_EQ(c.step.clocks[0].t, 0u);
}

TEST(Adam, FollowsTheFormula) {
  for (const double beta1 : {0.0, 0.5}) {
    adam_follows_the_formula<double>(beta1, 1e-14);
    adam_follows_the_formula<float>(beta1, 1e-6);
  }
}

TEST(Adam, FollowsItsSchedule) {
  const UpdateSchedule schedules[] = {
      {.decay_end = 10}, {.decay_begin = 3, .decay_end = 8}, {.ema_start = 4}, {0, 5, 10}, {9, 10, 1}};
  for (const UpdateSchedule& schedule : schedules) {
    SCOPED_TRACE(std::to_string(schedule.decay_begin) + " to " + std::to_string(schedule.decay_end));
    adam_follows_the_formula<double>(0.5, 1e-14, schedule);
    adam_follows_the_formula<float>(0.5, 1e-6, schedule);
  }
}

TEST(Adam, WithoutAMovingAverageUpdatesTheSame) {
  std::vector<std::vector<float>> results;
  for (const bool with_ema : {true, false}) {
    TestContext c;
    c.step.clocks[0].learning_rate = 0.01;
    OwnedTensor value = tensor_of<float>({3}, {1, 2, 3}), m = tensor_of<float>({3}, {0, 0, 0});
    OwnedTensor v = tensor_of<float>({3}, {0, 0, 0}), ema = tensor_of<float>({3}, {0, 0, 0});
    const OwnedTensor grad = tensor_of<float>({3}, {0.1f, -0.2f, 0.3f});
    c.ctx.kernels->begin_step(c.ctx, Network::generator, {});
    c.ctx.kernels->adam(c.ctx, Network::generator, {}, 0.5,
                        {.grad = grad.tensor(),
                         .value = value.tensor(),
                         .m = m.tensor(),
                         .v = v.tensor(),
                         .ema = with_ema ? ema.tensor() : Tensor{}});
    results.push_back(values_of<float>(value.tensor()));
    EXPECT_EQ(values_of<float>(ema.tensor())[1], with_ema ? results.back()[1] / 2 : 0);
  }
  EXPECT_EQ(results[0], results[1]);
}

TEST(RandomLabels, AreUniformAndFunctionsOfSeedStreamAndStep) {
  constexpr int64_t kClasses = 10, kCount = 100003;  // no multiple of four
  auto draw = [&](uint64_t seed, uint64_t step, RandomStream stream, int64_t count) {
    TestContext c;
    c.step.seed = seed, c.step.step = step;
    OwnedTensor y({count}, DType::i32, Device::cpu);
    c.ctx.kernels->random_labels(c.ctx, stream, kClasses, y.tensor());
    return values_of<int32_t>(y.tensor());
  };
  const std::vector<int32_t> labels = draw(3, 5, RandomStream::label_d, kCount);
  std::array<int64_t, kClasses> counts{};
  for (const int32_t label : labels) {
    ASSERT_TRUE(label >= 0 && label < kClasses);
    ++counts[static_cast<size_t>(label)];
  }
  const double expected = static_cast<double>(kCount) / kClasses;
  for (const int64_t count : counts) EXPECT_NEAR(static_cast<double>(count), expected, 5 * std::sqrt(expected));
  EXPECT_EQ(labels, draw(3, 5, RandomStream::label_d, kCount));
  for (const auto& other : {draw(4, 5, RandomStream::label_d, kCount), draw(3, 6, RandomStream::label_d, kCount),
                            draw(3, 5, RandomStream::label_g, kCount)}) {
    EXPECT_NE(labels, other);
  }
  const std::vector<int32_t> few = draw(3, 5, RandomStream::label_d, 6);
  EXPECT_TRUE(std::equal(few.begin(), few.end(), labels.begin())) << "a label depends on its index alone";
}

// Images whose pixels encode the image and the column, so that a minibatch shows where its pixels come from.
struct NamedImages {
  static constexpr int64_t n = 23, h = 2, w = 3, c = 2, batch = 4, per_epoch = 5;
  OwnedTensor images{{n, h, w, c}, DType::u8, Device::cpu}, labels{{n}, DType::i32, Device::cpu};
  NamedImages() {
    uint8_t* p = images.tensor().data<uint8_t>();
    for (int64_t i = 0; i < n * h * w; ++i) {
      *p++ = static_cast<uint8_t>(i / (h * w) * 10);
      *p++ = static_cast<uint8_t>(i % w);
    }
    for (int64_t i = 0; i < n; ++i) labels.tensor().data<int32_t>()[i] = static_cast<int32_t>(100 - i * 10 % 256);
  }
};

TEST(GatherImages, ShowsEveryImageOnceAnEpochAndFlipsHalfOfThem) {
  NamedImages data;
  TestContext c;
  c.step.seed = 3;
  int flipped = 0, drawn = 0;
  std::vector<std::set<int>> epochs;
  for (int epoch = 0; epoch < 40; ++epoch) {
    std::set<int> seen;
    for (int64_t b = 0; b < data.per_epoch; ++b) {
      OwnedTensor y({data.batch, data.h, data.w, data.c}, DType::f32, Device::cpu);
      OwnedTensor labels({data.batch}, DType::i32, Device::cpu);
      c.ctx.kernels->gather_images(c.ctx, {.batches_per_epoch = data.per_epoch, .flip = true}, data.images.tensor(),
                                   data.labels.tensor(), y.tensor(), labels.tensor());
      const std::vector<float> values = values_of<float>(y.tensor());
      for (int64_t j = 0; j < data.batch; ++j) {
        const float* image = &values[static_cast<size_t>(j * data.h * data.w * data.c)];
        const int name = static_cast<int>(std::lround((image[0] + 1) * 127.5f));
        const bool mirrored = std::lround((image[1] + 1) * 127.5f) == data.w - 1;
        EXPECT_EQ(labels.tensor().data<int32_t>()[j], 100 - name) << "the label of another image";
        EXPECT_TRUE(seen.insert(name).second) << "image " << name << " twice in epoch " << epoch;
        for (int64_t pixel = 0; pixel < data.h * data.w; ++pixel) {
          const int64_t column = mirrored ? data.w - 1 - pixel % data.w : pixel % data.w;
          EXPECT_EQ(image[2 * pixel], static_cast<float>(name) / 127.5f - 1);
          EXPECT_EQ(image[2 * pixel + 1], static_cast<float>(column) / 127.5f - 1);
        }
        flipped += mirrored ? 1 : 0;
        ++drawn;
      }
    }
    EXPECT_EQ(seen.size(), 20u);  // 23 images make 5 batches of 4; 3 images miss this epoch
    epochs.push_back(seen);
  }
  EXPECT_EQ(c.step.d_batches, 200u);
  EXPECT_NE(epochs[0], epochs[1]);
  EXPECT_NEAR(flipped, drawn / 2.0, 4 * std::sqrt(drawn) / 2);
}

TEST(GatherImages, IsAFunctionOfSeedAndBatch) {
  NamedImages data;
  auto batch = [&](uint64_t seed, uint64_t d_batches, uint64_t step, bool flip) {
    TestContext c;
    c.step.seed = seed;
    c.step.d_batches = d_batches;
    c.step.step = step;
    OwnedTensor y({data.batch, data.h, data.w, data.c}, DType::f32, Device::cpu);
    Tensor none;
    c.ctx.kernels->gather_images(c.ctx, {.batches_per_epoch = data.per_epoch, .flip = flip}, data.images.tensor(), {},
                                 y.tensor(), none);
    return values_of<float>(y.tensor());
  };
  EXPECT_EQ(batch(3, 7, 0, true), batch(3, 7, 99, true));
  EXPECT_NE(batch(3, 7, 0, true), batch(3, 8, 0, true));
  EXPECT_NE(batch(3, 7, 0, true), batch(4, 7, 0, true));
  const std::vector<float> plain = batch(3, 7, 0, false);
  for (size_t i = 1; i < plain.size(); i += 6) EXPECT_EQ(plain[i], -1);  // column 0 comes first: nothing is mirrored
}

// A ring of minibatches gathered in advance holds the same images as the set, minibatch b at place b % R.
TEST(GatherImages, TakesFromARingWhatItWouldTakeFromTheSet) {
  const NamedImages data;
  constexpr int64_t ring = 3, size = NamedImages::h * NamedImages::w * NamedImages::c;
  TestContext whole, streamed;
  whole.step.seed = streamed.step.seed = 3;
  OwnedTensor images({ring * data.batch, data.h, data.w, data.c}, DType::u8, Device::cpu);
  OwnedTensor labels({ring * data.batch}, DType::i32, Device::cpu);
  for (uint64_t b = 0; b < 2 * data.per_epoch + 1; ++b) {
    for (int64_t j = 0; j < data.batch; ++j) {
      const uint64_t image = gathered_image(3, data.n, data.per_epoch, data.batch, b, static_cast<uint64_t>(j));
      const int64_t place = static_cast<int64_t>(b) % ring * data.batch + j;
      std::memcpy(images.tensor().data<uint8_t>() + place * size,
                  data.images.tensor().data<uint8_t>() + static_cast<int64_t>(image) * size, size);
      labels.tensor().data<int32_t>()[place] = data.labels.tensor().data<int32_t>()[image];
    }
    const auto gather = [&](TestContext& c, int64_t slots, const Tensor& from, const Tensor& classes) {
      OwnedTensor y({data.batch, data.h, data.w, data.c}, DType::f32, Device::cpu);
      OwnedTensor y_labels({data.batch}, DType::i32, Device::cpu);
      c.ctx.kernels->gather_images(c.ctx, {.batches_per_epoch = data.per_epoch, .flip = true, .ring = slots}, from,
                                   classes, y.tensor(), y_labels.tensor());
      return std::pair(values_of<float>(y.tensor()), values_of<int32_t>(y_labels.tensor()));
    };
    EXPECT_EQ(gather(streamed, ring, images.tensor(), labels.tensor()),
              gather(whole, 0, data.images.tensor(), data.labels.tensor()))
        << "minibatch " << b;
    EXPECT_EQ(streamed.step.d_batches, b + 1);
  }
}

}  // namespace
}  // namespace poise
