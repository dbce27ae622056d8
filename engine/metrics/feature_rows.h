// Sets of features as metrics compare them: one row per image.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>

#include "kernels/core/error.h"

namespace poise {

// The number of rows of features [rows, dims].
inline int64_t rows_of(std::span<const float> features, int64_t dims) {
  const auto size = static_cast<int64_t>(features.size());
  require(dims > 0 && size % dims == 0, "whole rows of features");
  return size / dims;
}

// Error(runtime) that begins with the name of the metric, unless all features are finite.
inline void check_finite(const std::string& metric, std::span<const float> features) {
  if (std::all_of(features.begin(), features.end(), [](float x) { return std::isfinite(x); })) return;
  fail(ErrorKind::runtime, metric + ": a feature is not finite; the network or its input is broken");
}

}  // namespace poise
