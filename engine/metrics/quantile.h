#pragma once
#include <vector>

namespace poise {

// The q-quantile of `values`, q in [0, 1], with linear interpolation like numpy.quantile. NaN if there are no values.
// No value may be NaN.
double quantile(std::vector<double> values, double q);

}  // namespace poise
