#include "engine/metrics/quantile.h"

#include <gtest/gtest.h>

#include <cmath>

namespace poise {
namespace {

TEST(Quantile, LiesBetweenTwoValuesInProportion) {  // numpy.quantile of the same values
  const std::vector<double> values = {7, 1, 4, 2};
  EXPECT_EQ(quantile(values, 0), 1);
  EXPECT_EQ(quantile(values, 1), 7);
  EXPECT_EQ(quantile(values, 0.5), 3);
  EXPECT_DOUBLE_EQ(quantile(values, 0.9), 6.1);
  EXPECT_DOUBLE_EQ(quantile(values, 0.05), 1.15);
}

TEST(Quantile, OfOneValueIsThatValueAndOfNoneNotANumber) {
  EXPECT_EQ(quantile({5}, 0.5), 5);
  EXPECT_EQ(quantile({5}, 1), 5);
  EXPECT_TRUE(std::isnan(quantile({}, 0.5)));
}

TEST(Quantile, OfAnOddNumberOfValuesIsTheMiddleOne) { EXPECT_EQ(quantile({3, 9, 1}, 0.5), 3); }

}  // namespace
}  // namespace poise
