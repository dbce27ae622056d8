// How far two arrays of f32, given as bytes, are from each other.
#pragma once
#include <cmath>
#include <cstring>
#include <limits>
#include <span>

namespace poise::test {

struct FloatDifference {
  double worst = 0;    // of an element; infinite if one is not a number, or if the sizes differ
  double largest = 0;  // element of the second array
  double relative(double floor) const { return worst / std::max(largest, floor); }
};

inline FloatDifference float_difference(std::span<const std::byte> a, std::span<const std::byte> b) {
  FloatDifference found;
  constexpr double kInfinite = std::numeric_limits<double>::infinity();
  if (a.size() != b.size()) return {kInfinite, 1};
  for (size_t i = 0; i + sizeof(float) <= a.size(); i += sizeof(float)) {
    float x, y;
    std::memcpy(&x, a.data() + i, sizeof x);
    std::memcpy(&y, b.data() + i, sizeof y);
    const double d = std::abs(static_cast<double>(x) - static_cast<double>(y));
    found.worst = std::isnan(d) ? kInfinite : std::max(found.worst, d);
    found.largest = std::max(found.largest, std::abs(static_cast<double>(y)));
  }
  return found;
}

}  // namespace poise::test
