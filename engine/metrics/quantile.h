#pragma once
#include <vector>

namespace poise {

// The value below which a share q in [0, 1] of `values` lies; between two of them in proportion, as numpy.quantile.
// NaN if there are none. No value may be NaN.
double quantile(std::vector<double> values, double q);

}  // namespace poise
