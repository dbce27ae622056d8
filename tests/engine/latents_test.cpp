// Latents from seeds, with and without truncation, and the interpolation between two.
#include <gtest/gtest.h>

#include <cmath>

#include "apps/training/sampling.h"

namespace poise {
namespace {

double dot(const float* a, const float* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

TEST(Latents, TruncationDrawsAnewWhatLiesOutsideAndNothingElse) {
  constexpr int64_t n = 1000;
  const std::vector<float> plain = latents_of_seeds({1, 2}, n);
  for (const double truncation : {0.05, 0.5, 2.0}) {
    const std::vector<float> truncated = latents_of_seeds({1, 2}, n, truncation);
    double square = 0;
    for (size_t i = 0; i < plain.size(); ++i) {
      const double z = static_cast<double>(plain[i]), t = static_cast<double>(truncated[i]);
      EXPECT_LE(std::abs(t), truncation);
      if (std::abs(z) <= truncation) {
        EXPECT_EQ(t, z);
      }
      square += t * t / static_cast<double>(plain.size());
    }
    // The variance of a normal number conditional on being within +-c: 1 - 2 c phi(c) / (2 Phi(c) - 1).
    const double density = std::exp(-truncation * truncation / 2) / std::sqrt(2 * 3.14159265358979323846);
    const double expected = 1 - 2 * truncation * density / std::erf(truncation / std::sqrt(2.0));
    EXPECT_NEAR(square, expected, 0.08 * expected) << truncation;
    EXPECT_EQ(latents_of_seeds({2}, n, truncation), std::vector<float>(truncated.begin() + n, truncated.end()));
  }
  EXPECT_EQ(latents_of_seeds({1, 2}, n, 10.0), plain);
}

TEST(Latents, TheWayBetweenTwoSeedsKeepsItsLengthAndPace) {
  constexpr int64_t n = 64, steps = 9;
  std::vector<float> a = latents_of_seeds({5}, n), b = latents_of_seeds({9}, n);
  const double ratio = std::sqrt(dot(a.data(), a.data(), n) / dot(b.data(), b.data(), n));
  for (float& x : b) x *= static_cast<float>(ratio);  // both ends have the same length, so all rows have it
  const std::vector<float> way = interpolated_latents(a, b, steps);
  ASSERT_EQ(way.size(), size_t{n * steps});
  EXPECT_EQ(std::vector<float>(way.begin(), way.begin() + n), a);
  EXPECT_EQ(std::vector<float>(way.end() - n, way.end()), b);
  const double square = dot(a.data(), a.data(), n), whole = std::acos(dot(a.data(), b.data(), n) / square);
  for (int64_t i = 0; i + 1 < steps; ++i) {
    const float *row = way.data() + i * n, *next = row + n;
    EXPECT_NEAR(dot(row, row, n), square, 1e-5 * square);
    EXPECT_NEAR(std::acos(dot(row, next, n) / square), whole / (steps - 1), 1e-3) << "step " << i;
  }
  const std::vector<float> still = interpolated_latents(a, a, 3);
  for (size_t i = 0; i < still.size(); ++i) EXPECT_NEAR(still[i], a[i % n], 1e-6);
}

}  // namespace
}  // namespace poise
