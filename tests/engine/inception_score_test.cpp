// Inception Score and KID, compared with NumPy and with known values.
#include "engine/metrics/inception_score.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/metrics/kernel_distance.h"
#include "kernels/core/parallel.h"
#include "tests/support/file_test_tools.h"
#include "tests/support/metric_tools.h"

namespace poise {
namespace {

using test::golden_array;
using test::golden_floats;
using test::normal_rows;

// Logits that assign each image to one class with certainty; classes alternate, or are sorted.
std::vector<float> one_hot(int64_t images, int64_t classes, bool sorted) {
  std::vector<float> logits(static_cast<size_t>(images * classes));
  for (int64_t i = 0; i < images; ++i) {
    logits[static_cast<size_t>(i * classes + (sorted ? i * classes / images : i % classes))] = 1000;
  }
  return logits;
}

TEST(InceptionScore, EqualsNumPy) {
  const InceptionScore score = inception_score(golden_floats("logits"), 7, {});
  const std::vector<double> expected = golden_array("inception_score").values;  // the parts have 10 and 11 images
  EXPECT_NEAR(score.mean, expected[0], 1e-12);
  EXPECT_NEAR(score.deviation, expected[1], 1e-12);
}

TEST(InceptionScore, IsTheNumberOfClassesAtBest) {
  EXPECT_NEAR(inception_score(one_hot(200, 5, false), 5, {}).mean, 5, 1e-12);
  EXPECT_NEAR(inception_score(std::vector<float>(200 * 5, 3.0f), 5, {}).mean, 1, 1e-12);
}

TEST(InceptionScore, SortedImagesNeedShuffling) {
  const std::vector<float> sorted = one_hot(2000, 10, true);
  EXPECT_NEAR(inception_score(sorted, 10, {}).mean, 1, 1e-12);  // each part holds one class
  EXPECT_GT(inception_score(sorted, 10, {.shuffle_seed = 1}).mean, 9.5);
}

TEST(InceptionScore, SameBitsForAnyNumberOfThreads) {
  const std::vector<float> logits = golden_floats("logits");
  const int threads = thread_count();
  set_thread_count(1);
  const double one = inception_score(logits, 7, {}).mean;
  set_thread_count(3);
  EXPECT_EQ(inception_score(logits, 7, {}).mean, one);
  set_thread_count(threads);
}

TEST(InceptionScore, RefusesAndWarns) {
  std::vector<float> logits(9 * 2);
  test::expect_error(ErrorKind::data, {"10 splits", "got 9"}, [&] { inception_score(logits, 2, {}); });
  EXPECT_EQ(inception_score(logits, 2, {.splits = 9}).warnings.size(), 1u);
  logits[7] = std::numeric_limits<float>::quiet_NaN();
  test::expect_error(ErrorKind::runtime, {"image 3", "not finite"}, [&] { inception_score(logits, 2, {.splits = 2}); });
}

TEST(RandomOrder, IsAPermutationThatDependsOnTheSeed) {
  std::vector<int64_t> order = random_order(1000, 1);
  EXPECT_EQ(order, random_order(1000, 1));
  EXPECT_NE(order, random_order(1000, 2));
  std::sort(order.begin(), order.end());
  for (int64_t i = 0; i < 1000; ++i) EXPECT_EQ(order[static_cast<size_t>(i)], i);
}

TEST(KernelDistance, EqualsNumPyOnWholeSets) {
  std::vector<float> a = golden_floats("features_a"), b = golden_floats("features_b");
  a.resize(40 * 12);
  b.resize(40 * 12);
  const KernelDistance d = kernel_distance(a, b, 12, {.subsets = 3, .subset_size = 40});
  const double expected = golden_array("kernel_distance").values.at(0);
  EXPECT_NEAR(d.mean, expected, 1e-11 * std::abs(expected));
  EXPECT_NEAR(d.deviation, 0, 1e-10 * std::abs(expected));  // every subset is the whole set
  EXPECT_TRUE(d.warnings.empty());
}

// The estimate is unbiased: for two samples of one distribution it is zero to within its spread, and its mean does not
// grow as the sets shrink. A shifted set is far away.
TEST(KernelDistance, IsZeroOnAverageForEqualDistributions) {
  const std::vector<float> a = normal_rows(400 * 8, 1), b = normal_rows(400 * 8, 2), c = normal_rows(400 * 8, 3, 1);
  const KernelDistanceOptions options{.subsets = 50, .subset_size = 100};
  const KernelDistance same = kernel_distance(a, b, 8, options), other = kernel_distance(a, c, 8, options);
  EXPECT_LT(std::abs(same.mean), same.deviation);
  EXPECT_GT(other.mean, 20 * same.deviation);
}

TEST(KernelDistance, SaysWhenThereAreFewerImages) {
  const std::vector<float> a = normal_rows(30 * 4, 1), b = normal_rows(20 * 4, 2);
  const KernelDistance d = kernel_distance(a, b, 4, {.subsets = 2});
  EXPECT_EQ(d.subset_size, 20);
  ASSERT_EQ(d.warnings.size(), 1u);
  test::expect_error(ErrorKind::data, {"at least 2"}, [&] { kernel_distance(a, std::span(b).first(4), 4, {}); });
}

}  // namespace
}  // namespace poise
