// The sliced Wasserstein distance, compared with known values.
#include "apps/evaluation/swd.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "kernels/core/parallel.h"
#include "kernels/core/philox.h"

namespace poise {
namespace {

std::vector<uint8_t> noise(int64_t count, uint64_t seed) {
  std::vector<uint8_t> bytes(static_cast<size_t>(count));
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<uint8_t>(philox4x32(seed, i, static_cast<uint32_t>(RandomStream::test), 0).x[0]);
  }
  return bytes;
}

TEST(SlicedWasserstein, IdenticalSetsHaveDistanceZero) {
  const auto images = noise(20 * 48, 1);
  EXPECT_EQ(SlicedWasserstein(images, 20, 48).distance(images), 0.0);
}

// With one value per image, the unit projections are +1 and -1, so the distance is that of the values themselves.
TEST(SlicedWasserstein, OneDimensionalShiftIsTheShift) {
  std::vector<uint8_t> a, b;
  for (int i = 0; i < 50; ++i) {
    a.push_back(static_cast<uint8_t>(3 * i));
    b.push_back(static_cast<uint8_t>(3 * i + 20));
  }
  EXPECT_NEAR(SlicedWasserstein(a, 50, 1).distance(b), 20 / 127.5, 1e-12);
}

// For identical images, the distance is the mean of |delta . theta| over unit theta in d dimensions. With constant
// delta, this is |delta| * E|theta_1|, and E|theta_1| tends to sqrt(2 / (pi d)).
TEST(SlicedWasserstein, ConstantShiftHasItsExpectedLength) {
  const int64_t values = 768, count = 10;
  const std::vector<uint8_t> a(static_cast<size_t>(count * values), 100), b(a.size(), 151);
  const double length = 51 / 127.5 * std::sqrt(static_cast<double>(values));
  const double expected = length * std::sqrt(2 / (std::numbers::pi * static_cast<double>(values)));
  EXPECT_NEAR(SlicedWasserstein(a, count, values).distance(b), expected, 0.15 * expected);  // 256 projections: 5% s.d.
}

TEST(SlicedWasserstein, OrderAndThreadsDoNotMatter) {
  const int64_t count = 30, values = 75;
  const auto a = noise(count * values, 2), b = noise(count * values, 3);
  std::vector<uint8_t> reversed;
  for (int64_t i = count - 1; i >= 0; --i)
    reversed.insert(reversed.end(), b.begin() + i * values, b.begin() + (i + 1) * values);
  const SlicedWasserstein metric(a, count, values);
  const double distance = metric.distance(b);
  EXPECT_GT(distance, 0);
  EXPECT_EQ(distance, metric.distance(reversed));
  const int threads = thread_count();
  set_thread_count(threads > 1 ? 1 : 3);
  EXPECT_EQ(distance, SlicedWasserstein(a, count, values).distance(b));
  set_thread_count(threads);
}

TEST(SlicedWasserstein, LargeReferencesAreSampledEvenly) {
  const int64_t count = 3 * SlicedWasserstein::kImages;
  std::vector<uint8_t> reference(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) reference[static_cast<size_t>(i)] = static_cast<uint8_t>(i * 250 / count);
  const SlicedWasserstein metric(reference, count, 1);
  EXPECT_EQ(metric.images(), SlicedWasserstein::kImages);
  std::vector<uint8_t> same;
  for (int64_t i = 0; i < metric.images(); ++i) same.push_back(reference[static_cast<size_t>(3 * i)]);
  EXPECT_EQ(metric.distance(same), 0.0);
}

// A fixed value, because a change of directions, order or arithmetic would make old and new runs incomparable.
TEST(SlicedWasserstein, NumberStaysTheSameBetweenVersions) {
  const auto a = noise(16 * 12, 4), b = noise(16 * 12, 5);
  EXPECT_NEAR(SlicedWasserstein(a, 16, 12).distance(b), 0.23032349980818131, 1e-12);
}

}  // namespace
}  // namespace poise
