// The controllers of D's density, DDA and DDST of "Balanced Training for Sparse GANs": one rule, different settings.
//
//   BR >= band_high:  D is too weak.   density < limit:                     raise by density_step, up to the limit
//                                      density = limit and rewire_at_limit: drop and grow at the same density
//   BR <= band_low:   D is too strong. density > floor:                     lower by density_step, down to the floor
//   otherwise, or if BR is NaN (nothing measured yet, or nothing usable):   no change
#pragma once
#include <cstdint>

namespace poise {

struct DensityControl {
  double band_low = 0.45, band_high = 0.55;  // both bounds are outside the band
  double density_step = 0.05, density_floor = 0.05, density_limit = 1.0;
  bool rewire_at_limit = false;  // DDST strict
};

struct DensityDecision {
  enum class Kind : uint8_t { none, raise, lower, rewire };
  Kind kind = Kind::none;
  double density = 0;  // from now on
};

DensityDecision decide(const DensityControl& control, double density, double balance_ratio);

}  // namespace poise
