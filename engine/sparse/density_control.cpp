#include "engine/sparse/density_control.h"

#include <algorithm>
#include <cmath>

namespace poise {
namespace {
// A density this close to a bound is the bound: in binary, 0.1 + 18 * 0.05 is not 1.0.
constexpr double kSame = 1e-9;
double snapped(double density, double bound) { return std::abs(density - bound) < kSame ? bound : density; }
}  // namespace

DensityDecision decide(const DensityControl& c, double density, double balance_ratio) {
  using Kind = DensityDecision::Kind;
  if (balance_ratio >= c.band_high) {
    if (density < c.density_limit) {
      return {Kind::raise,
              snapped(std::max(std::min(density + c.density_step, c.density_limit), c.density_floor), c.density_limit)};
    }
    if (density == c.density_limit && c.rewire_at_limit) return {Kind::rewire, density};
  } else if (balance_ratio <= c.band_low && density > c.density_floor) {
    return {Kind::lower, snapped(std::max(density - c.density_step, c.density_floor), c.density_floor)};
  }
  return {Kind::none, density};
}

}  // namespace poise
