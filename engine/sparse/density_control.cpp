#include "engine/sparse/density_control.h"

#include <algorithm>
#include <cmath>

namespace poise {
namespace {
// 0.1 + 18 * 0.05 is not 1.0 in binary: a density this near a bound is the bound.
constexpr double kSame = 1e-9;
double snapped(double density, double bound) { return std::abs(density - bound) < kSame ? bound : density; }
}  // namespace

DensityDecision decide(const DensityControl& c, double density, double balance_ratio) {
  using Kind = DensityDecision::Kind;
  if (balance_ratio >= c.high) {
    if (density < c.limit) {
      return {Kind::raise, snapped(std::max(std::min(density + c.step, c.limit), c.floor), c.limit)};
    }
    if (density == c.limit && c.rewire_at_limit) return {Kind::rewire, density};
  } else if (balance_ratio <= c.low && density > c.floor) {
    return {Kind::lower, snapped(std::max(density - c.step, c.floor), c.floor)};
  }
  return {Kind::none, density};
}

}  // namespace poise
