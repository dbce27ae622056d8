#include "engine/metrics/quantile.h"

#include <algorithm>
#include <cmath>

namespace poise {

double quantile(std::vector<double> values, double q) {
  if (values.empty()) return NAN;
  const double place = q * static_cast<double>(values.size() - 1);
  const auto below = values.begin() + static_cast<std::ptrdiff_t>(place);
  std::nth_element(values.begin(), below, values.end());
  const double low = *below, rest = place - std::floor(place);
  if (rest == 0) return low;
  return low + rest * (*std::min_element(below + 1, values.end()) - low);
}

}  // namespace poise
