// The controllers of D's density, DDA and DDST of "Balanced Training for Sparse GANs": one rule, different settings.
//
//   BR >= high:  D is too weak.   density < limit:                    raise by `step`, at most to `limit`
//                                 density = limit and rewire_at_limit: drop and grow at the same density
//   BR <= low:   D is too strong. density > floor:                    lower by `step`, at least to `floor`
//   between, or BR is NaN (nothing measured yet, or nothing usable):  nothing
#pragma once
#include <cstdint>

namespace poise {

struct DensityControl {
  double low = 0.45, high = 0.55;  // the band; both ends belong to the outside
  double step = 0.05, floor = 0.05, limit = 1.0;
  bool rewire_at_limit = false;  // DDST strict
};

struct DensityDecision {
  enum class Kind : uint8_t { none, raise, lower, rewire };
  Kind kind = Kind::none;
  double density = 0;  // from now on
};

DensityDecision decide(const DensityControl& control, double density, double balance_ratio);

}  // namespace poise
