// Moments and the Fréchet distance, compared with closed forms, plain definitions and SciPy.
#include "engine/metrics/frechet.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "tests/support/file_test_tools.h"
#include "tests/support/metric_tools.h"

namespace poise {
namespace {

using test::golden_array;
using test::golden_floats;
using test::moments_of;
using test::normal_rows;

Moments diagonal(std::vector<double> mean, const std::vector<double>& variances) {
  const auto dims = static_cast<int64_t>(mean.size());
  Moments m{.count = 1000, .dims = dims, .mean = std::move(mean)};
  m.covariance.assign(static_cast<size_t>(dims * dims), 0.0);
  for (int64_t i = 0; i < dims; ++i)
    m.covariance[static_cast<size_t>(i * dims + i)] = variances[static_cast<size_t>(i)];
  return m;
}

// Q m Q^T for the reflection Q = I - 2 v v^T: distances stay the same, but the covariances are no longer diagonal.
Moments reflected(const Moments& m) {
  const size_t n = static_cast<size_t>(m.dims);
  std::vector<double> v(n);
  for (size_t i = 0; i < n; ++i) v[i] = 1.0 + static_cast<double>(i);
  const double length = std::sqrt(std::inner_product(v.begin(), v.end(), v.begin(), 0.0));
  for (double& x : v) x /= length;
  const auto reflect = [&](double* x, size_t stride) {
    double along = 0;
    for (size_t i = 0; i < n; ++i) along += v[i] * x[i * stride];
    for (size_t i = 0; i < n; ++i) x[i * stride] -= 2 * along * v[i];
  };
  Moments r = m;
  reflect(r.mean.data(), 1);
  for (size_t row = 0; row < n; ++row) reflect(r.covariance.data() + row * n, 1);
  for (size_t column = 0; column < n; ++column) reflect(r.covariance.data() + column, n);
  return r;
}

TEST(Moments, EqualThePlainDefinition) {
  constexpr int64_t kRows = 700, kDims = 5;  // more than one chunk, the last one short
  const std::vector<float> rows = normal_rows(kRows * kDims, 1, 0.5);
  const Moments m = moments_of(rows, kDims);
  EXPECT_EQ(m.count, kRows);
  std::vector<double> mean(kDims);
  for (int64_t i = 0; i < kRows * kDims; ++i) mean[static_cast<size_t>(i % kDims)] += rows[static_cast<size_t>(i)];
  for (double& x : mean) x /= kRows;
  for (int64_t i = 0; i < kDims; ++i) {
    EXPECT_NEAR(m.mean[static_cast<size_t>(i)], mean[static_cast<size_t>(i)], 1e-14);
    for (int64_t j = 0; j < kDims; ++j) {
      double sum = 0;
      for (int64_t r = 0; r < kRows; ++r) {
        sum += (rows[static_cast<size_t>(r * kDims + i)] - mean[static_cast<size_t>(i)]) *
               (rows[static_cast<size_t>(r * kDims + j)] - mean[static_cast<size_t>(j)]);
      }
      EXPECT_NEAR(m.covariance[static_cast<size_t>(i * kDims + j)], sum / (kRows - 1), 1e-14);
    }
  }
}

TEST(Moments, SameBitsHoweverRowsAreSplitIntoCalls) {
  const std::vector<float> rows = normal_rows(600 * 7, 2);
  const Moments whole = moments_of(rows, 7);
  MomentAccumulator accumulator(7);
  for (size_t at = 0, size = 7; at < rows.size(); at += size, size = std::min(size + 7, rows.size() - at)) {
    accumulator.add(std::span(rows).subspan(at, std::min(size, rows.size() - at)));
  }
  const Moments parts = accumulator.moments();
  EXPECT_EQ(parts.mean, whole.mean);
  EXPECT_EQ(parts.covariance, whole.covariance);
}

// Another order of the rows only changes the rounding, even far from zero, where the textbook formula
// E[xx] - E[x]E[x] would have lost ten digits.
TEST(Moments, OrderOfRowsChangesRoundingAlone) {
  constexpr size_t kDims = 3;
  for (const double mean : {0.0, 1e4}) {
    const std::vector<float> rows = normal_rows(900 * kDims, 3, mean);
    std::vector<float> reversed;
    for (size_t row = rows.size() / kDims; row-- > 0;) {
      reversed.insert(reversed.end(), rows.begin() + static_cast<std::ptrdiff_t>(row * kDims),
                      rows.begin() + static_cast<std::ptrdiff_t>((row + 1) * kDims));
    }
    const Moments a = moments_of(rows, kDims), b = moments_of(reversed, kDims);
    for (size_t i = 0; i < a.covariance.size(); ++i) EXPECT_NEAR(a.covariance[i], b.covariance[i], 1e-12);
    EXPECT_NEAR(frechet_distance(a, b).value, 0, 1e-12);
  }
}

TEST(Moments, RefuseWhatHasNoCovariance) {
  MomentAccumulator one(2);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float row[] = {1, 2}, broken[] = {1, nan};
  one.add(row);
  test::expect_error(ErrorKind::data, {"at least 2 images", "got 1"}, [&] { one.moments(); });
  test::expect_error(ErrorKind::runtime, {"image 1", "feature 1", "not finite"}, [&] { one.add(broken); });
}

TEST(Frechet, EqualMeansLeaveTheCovariances) {
  // Commuting covariances: sum of (sqrt(a) - sqrt(b))^2
  const Moments a = diagonal({1, 2, 3}, {4, 9, 1}), b = diagonal({1, 2, 3}, {1, 16, 1});
  EXPECT_NEAR(frechet_distance(a, b).value, 1 + 1, 1e-13);
  EXPECT_NEAR(frechet_distance(reflected(a), reflected(b)).value, 2, 1e-12);
}

TEST(Frechet, DiagonalCovariancesAndMeans) {
  const Moments a = diagonal({0, 0, 1}, {0.25, 4, 100}), b = diagonal({3, 4, 1}, {1, 4, 81});
  EXPECT_NEAR(frechet_distance(a, b).value, 25 + 0.25 + 0 + 1, 1e-12);
  EXPECT_NEAR(frechet_distance(reflected(a), reflected(b)).value, 26.25, 1e-11);
}

// 2x2: tr (A B)^(1/2) = sqrt(tr AB + 2 sqrt(det AB)), also where A and B do not commute.
TEST(Frechet, TwoDimensionsInClosedForm) {
  const Moments a{.count = 100, .dims = 2, .mean = {0, 0}, .covariance = {2, 1, 1, 3}};
  const Moments b{.count = 100, .dims = 2, .mean = {1, 0}, .covariance = {5, -2, -2, 1}};
  const double trace_ab = 2 * 5 + 1 * -2 + 1 * -2 + 3 * 1, det_ab = 5.0 * 1.0;
  EXPECT_NEAR(frechet_distance(a, b).value, 1 + 5 + 6 - 2 * std::sqrt(trace_ab + 2 * std::sqrt(det_ab)), 1e-13);
}

TEST(Frechet, RankDeficientAndZeroCovariances) {
  const Moments a = diagonal({0, 0, 0, 0}, {1, 0, 0, 4}), b = diagonal({0, 0, 0, 0}, {0, 1, 0, 9});
  EXPECT_NEAR(frechet_distance(reflected(a), reflected(b)).value, 1 + 1 + 1, 1e-12);
  const Moments zero = diagonal({0, 0, 0, 2}, {0, 0, 0, 0});
  EXPECT_NEAR(frechet_distance(zero, a).value, 4 + 5, 1e-13);
  EXPECT_NEAR(frechet_distance(a, zero).value, 4 + 5, 1e-13);
}

TEST(Frechet, NearlySingular) {
  const Moments a = diagonal({0, 0, 0}, {1, 1e-10, 1e-14}), b = diagonal({0, 0, 0}, {1, 4e-10, 0});
  const double expected = 1e-10 + 1e-14;  // (2e-5 - 1e-5)^2 + (1e-7)^2
  EXPECT_NEAR(frechet_distance(a, b).value, expected, 1e-15);
  EXPECT_NEAR(frechet_distance(reflected(a), reflected(b)).value, expected, 1e-10);
}

TEST(Frechet, ASetWithItselfIsAtDistanceZero) {
  const Moments many = moments_of(normal_rows(500 * 64, 4), 64), few = moments_of(normal_rows(20 * 64, 5), 64);
  EXPECT_NEAR(frechet_distance(many, many).value, 0, 1e-12);
  EXPECT_NEAR(frechet_distance(few, few).value, 0, 1e-12);  // 45 null directions
  EXPECT_GE(frechet_distance(few, few).value, 0);
}

TEST(Frechet, IsSymmetric) {
  const Moments a = moments_of(normal_rows(300 * 16, 6), 16), b = moments_of(normal_rows(10 * 16, 7, 0.3), 16);
  EXPECT_NEAR(frechet_distance(a, b).value, frechet_distance(b, a).value, 1e-12);
}

TEST(Frechet, EqualsSciPy) {
  const Moments a = moments_of(golden_floats("features_a"), 12), b = moments_of(golden_floats("features_b"), 12);
  const std::vector<double> mu = golden_array("mu").values, sigma = golden_array("sigma").values;
  for (size_t i = 0; i < mu.size(); ++i) EXPECT_NEAR(a.mean[i], mu[i], 1e-14);
  for (size_t i = 0; i < sigma.size(); ++i) EXPECT_NEAR(a.covariance[i], sigma[i], 1e-12);
  const double expected = golden_array("frechet").values.at(0);
  EXPECT_NEAR(frechet_distance(a, b).value, expected, 1e-10 * expected);
}

// There are fewer images than dimensions, and sqrtm of a singular matrix has only half the digits.
TEST(Frechet, EqualsSciPyOnFewImages) {
  const Moments a = moments_of(golden_floats("wide_a"), 48), b = moments_of(golden_floats("wide_b"), 48);
  const FrechetDistance d = frechet_distance(a, b);
  const double expected = golden_array("frechet_wide").values.at(0);
  EXPECT_NEAR(d.value, expected, 1e-6 * expected);
  ASSERT_EQ(d.warnings.size(), 2u);
  EXPECT_NE(d.warnings[0].find("20 images for 48 dimensions"), std::string::npos);
}

TEST(Frechet, RefusesWithTheCause) {
  const Moments a = diagonal({0, 0}, {1, 1});
  Moments broken = a;
  broken.covariance[1] = std::numeric_limits<double>::infinity();
  test::expect_error(ErrorKind::data, {"same features", "2 and 3"}, [&] {
    frechet_distance(a, diagonal({0, 0, 0}, {1, 1, 1}));
  });
  test::expect_error(ErrorKind::data, {"covariance of the second", "not finite"}, [&] { frechet_distance(a, broken); });
  broken = a;
  broken.mean[0] = std::numeric_limits<double>::quiet_NaN();
  test::expect_error(ErrorKind::data, {"mean of the first", "not finite"}, [&] { frechet_distance(broken, a); });
  test::expect_error(ErrorKind::data, {"too large"}, [&] { frechet_distance(a, diagonal({1e200, 0}, {1, 1})); });
}

}  // namespace
}  // namespace poise
