// Precision and recall, compared with plain loops over all pairs and with known values.
#include "engine/metrics/precision_recall.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/metrics/inception_score.h"
#include "kernels/core/parallel.h"
#include "tests/support/file_test_tools.h"
#include "tests/support/metric_tools.h"

namespace poise {
namespace {

using test::normal_rows;
using Floats = std::vector<float>;

double squared_distance(const float* x, const float* y, int64_t dims) {
  double sum = 0;
  for (int64_t d = 0; d < dims; ++d) sum += (double{x[d]} - y[d]) * (double{x[d]} - y[d]);
  return sum;
}

// The share of x within the balls of y, computed from the definition.
double plain_share(const Floats& x, const Floats& y, int64_t dims, int64_t k) {
  const int64_t n = static_cast<int64_t>(x.size()) / dims, m = static_cast<int64_t>(y.size()) / dims;
  std::vector<double> radii;
  for (int64_t j = 0; j < m; ++j) {
    std::vector<double> distances;
    for (int64_t l = 0; l < m; ++l) {
      if (l != j) distances.push_back(squared_distance(&y[j * dims], &y[l * dims], dims));
    }
    std::sort(distances.begin(), distances.end());
    radii.push_back(distances[k - 1]);
  }
  int64_t inside = 0;
  for (int64_t i = 0; i < n; ++i) {
    bool covered = false;
    for (int64_t j = 0; j < m; ++j) {
      covered = covered || squared_distance(&x[i * dims], &y[j * dims], dims) <= radii[j];
    }
    inside += covered;
  }
  return static_cast<double>(inside) / static_cast<double>(n);
}

void expect_plain(const Floats& a, const Floats& b, int64_t dims, int64_t k) {
  SCOPED_TRACE(testing::Message() << a.size() / dims << " and " << b.size() / dims << " rows of " << dims << ", k "
                                  << k);
  const PrecisionRecall r = precision_recall(a, b, dims, {.neighbours = k});
  EXPECT_EQ(r.precision, plain_share(a, b, dims, k));
  EXPECT_EQ(r.recall, plain_share(b, a, dims, k));
  EXPECT_EQ(r.neighbours, k);
}

Floats whole_numbers(Floats rows) {
  for (float& x : rows) x = std::round(x);
  return rows;
}

Floats joined(Floats a, const Floats& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST(PrecisionRecall, EqualsPlainLoops) {
  struct Case {
    int64_t n, m, dims, k;
  };
  uint64_t seed = 1;
  // one tile and many, full and partial ones, also of slices of the dimensions
  for (const Case& c : {Case{4, 4, 1, 3}, Case{2, 5, 3, 1}, Case{128, 64, 32, 3}, Case{129, 65, 33, 3},
                        Case{127, 63, 31, 2}, Case{300, 257, 7, 3}, Case{70, 190, 100, 5}, Case{6, 260, 192, 5}}) {
    const Floats a = normal_rows(c.n * c.dims, ++seed), b = normal_rows(c.m * c.dims, ++seed, 0.3);
    expect_plain(a, b, c.dims, c.k);
    expect_plain(b, a, c.dims, c.k);
  }
}

// With whole numbers, many images are exactly on a rim, and many repeat.
TEST(PrecisionRecall, TheRimBelongsToTheBall) {
  for (const uint64_t seed : {1, 2, 3}) {
    expect_plain(whole_numbers(normal_rows(150 * 3, seed)), whole_numbers(normal_rows(170 * 3, seed + 10, 1.5)), 3, 3);
  }
  const Floats line = {0, 1, 2, 3}, rim = {-1, -1, -1, 4}, outside = {-1.0001f, -1.0001f, 4.0001f, 4.0001f};
  EXPECT_EQ(precision_recall(rim, line, 1, {.neighbours = 1}).precision, 1);
  EXPECT_EQ(precision_recall(outside, line, 1, {.neighbours = 1}).precision, 0);
}

TEST(PrecisionRecall, EqualSetsAndFarOnes) {
  const Floats a = normal_rows(140 * 9, 1), far = normal_rows(140 * 9, 2, 1000);
  const PrecisionRecall same = precision_recall(a, a, 9, {}), none = precision_recall(a, far, 9, {});
  EXPECT_EQ(same.precision, 1);
  EXPECT_EQ(same.recall, 1);
  EXPECT_EQ(same.harmonic_mean(), 1);
  EXPECT_EQ(none.precision, 0);
  EXPECT_EQ(none.recall, 0);
  EXPECT_EQ(none.harmonic_mean(), 0);
}

// The data has two modes. One generator reproduces one of them, another both, but half its images are in neither.
TEST(PrecisionRecall, TellsGoodImagesFromAllOfThem) {
  const Floats mode = normal_rows(200 * 2, 1), other = normal_rows(200 * 2, 2, 50), real = joined(mode, other);
  Floats nudged = mode;
  for (float& x : nudged) x += 1e-4f;
  const PrecisionRecall one_mode = precision_recall(nudged, real, 2, {});
  EXPECT_EQ(one_mode.precision, 1);
  EXPECT_EQ(one_mode.recall, 0.5);
  EXPECT_DOUBLE_EQ(one_mode.harmonic_mean(), 2.0 / 3);
  const PrecisionRecall both = precision_recall(joined(real, normal_rows(400 * 2, 4, -300)), real, 2, {});
  EXPECT_EQ(both.precision, 0.5);
  EXPECT_EQ(both.recall, 1);
}

// Balls of radius zero, far from the origin, where a difference of squares would be noise, contain only their own
// images.
TEST(PrecisionRecall, RepeatedImagesMakeBallsWithoutExtent) {
  constexpr int64_t kDims = 65;
  const Floats rows = normal_rows(20 * kDims, 1, 3000);
  Floats repeated;
  for (int i = 0; i < 4; ++i) repeated.insert(repeated.end(), rows.begin(), rows.end());
  Floats near = repeated;
  for (int64_t i = 0; i < 40 * kDims; ++i) near[i] = std::nextafter(near[i], 0.0f);
  EXPECT_EQ(precision_recall(repeated, repeated, kDims, {}).precision, 1);
  const PrecisionRecall half = precision_recall(near, repeated, kDims, {});
  EXPECT_EQ(half.precision, 0.5);
  EXPECT_EQ(half.recall, 1);  // only two exact copies are left, so the third neighbour is one step away
}

TEST(PrecisionRecall, OrderAndThreadsChangeNothing) {
  constexpr int64_t kDims = 11;
  const Floats a = normal_rows(400 * kDims, 1), b = normal_rows(333 * kDims, 2, 0.2);
  const auto shuffled = [](const Floats& rows, uint64_t seed) {
    Floats out;
    for (const int64_t row : random_order(static_cast<int64_t>(rows.size()) / kDims, seed)) {
      out.insert(out.end(), rows.begin() + row * kDims, rows.begin() + (row + 1) * kDims);
    }
    return out;
  };
  const int threads = thread_count();
  set_thread_count(1);
  const PrecisionRecall one = precision_recall(a, b, kDims, {});
  EXPECT_GT(one.precision, 0);
  EXPECT_LT(one.precision, 1);
  set_thread_count(3);
  for (const PrecisionRecall& other :
       {precision_recall(a, b, kDims, {}), precision_recall(shuffled(a, 1), shuffled(b, 2), kDims, {})}) {
    EXPECT_EQ(other.precision, one.precision);
    EXPECT_EQ(other.recall, one.recall);
  }
  set_thread_count(threads);
}

TEST(PrecisionRecall, RefusesAndWarns) {
  Floats a = normal_rows(8 * 4, 1), b = normal_rows(5 * 4, 2);
  const auto with = [&](int64_t n, int64_t m, int64_t k) {
    return precision_recall(std::span(a).first(n * 4), std::span(b).first(m * 4), 4, {.neighbours = k});
  };
  const std::vector<std::string> warnings = with(4, 5, 3).warnings;
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("4 generated and 5 reference images"), std::string::npos) << warnings[0];
  test::expect_error(ErrorKind::data, {"at least 4", "3 generated and 5", "use more"}, [&] { with(3, 5, 3); });
  test::expect_error(ErrorKind::data, {"at least 6", "8 generated and 5"}, [&] { with(8, 5, 5); });
  test::expect_error(ErrorKind::data, {"0 generated"}, [&] { with(0, 5, 3); });
  const Floats many(kPrecisionRecallImages);
  EXPECT_TRUE(precision_recall(many, many, 1, {}).warnings.empty());
  for (Floats* set : {&a, &b}) {
    const float kept = set->at(7);
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      set->at(7) = bad;
      test::expect_error(ErrorKind::runtime, {"not finite"}, [&] { with(8, 5, 3); });
    }
    set->at(7) = kept;
  }
}

}  // namespace
}  // namespace poise
