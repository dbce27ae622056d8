// Comparing the results of two runs of an OpCase.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "tests/support/op_fixture.h"

namespace poise {

inline double largest(const std::vector<double>& values) {
  double result = 0;
  for (const double v : values) result = std::isnan(v) ? v : std::max(result, std::abs(v));
  return result;
}

// max |a - b| / max |b|; NaN if any element is NaN. If b is all zeros, the result is 0 only if a is too.
inline double relative_error(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size()) return std::nan("");
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double error = std::abs(a[i] - b[i]);
    if (std::isnan(error)) return error;
    worst = std::max(worst, error);
  }
  return worst == 0 ? 0 : worst / largest(b);
}

// Whether a case differs in bf16, which is so if it has activations among its inputs.
inline bool concerns_bf16(const OpCase& c) {
  return !std::all_of(c.inputs.begin(), c.inputs.end(), [](const OpTensor& x) { return x.parameter; });
}

inline bool same_bytes(const std::vector<double>& a, const std::vector<double>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0);
}

inline void expect_same_bytes(const OpResult& a, const OpResult& b, const std::string& what) {
  EXPECT_TRUE(same_bytes(a.output, b.output)) << what << ": output";
  for (size_t i = 0; i < a.gradients.size(); ++i) {
    EXPECT_TRUE(same_bytes(a.gradients[i], b.gradients[i])) << what << ": gradient of input " << i;
  }
  for (size_t i = 0; i < a.states.size(); ++i) {
    EXPECT_TRUE(same_bytes(a.states[i], b.states[i])) << what << ": state " << i;
  }
}

}  // namespace poise
