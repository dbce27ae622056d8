// The Fréchet distance between two sets of features, treated as normal distributions (Heusel et al. 2017, eq. 6):
//
//   d^2 = |mu_a - mu_b|^2 + tr S_a + tr S_b - 2 tr (S_a S_b)^(1/2)
//
// With S = W W^T for each set, S_a S_b has the eigenvalues of (W_a^T W_b)(W_a^T W_b)^T, so the trace is the sum of the
// singular values of W_a^T W_b: no complex square root, nothing added to diagonals, and no square root of a product's
// eigenvalues, which would turn rounding errors of 1e-16 into 1e-8 where they are zero. For the same reason, W leaves
// out the directions in which S is zero up to rounding; with fewer images than dimensions these are most of them.
#pragma once
#include <string>
#include <vector>

#include "engine/metrics/moments.h"

namespace poise {

struct FrechetDistance {
  double value = 0;  // d^2, which is commonly called FID. Never negative, never NaN
  double mean_term = 0, trace_a = 0, trace_b = 0, trace_root = 0;
  std::vector<std::string> warnings;  // too few images for the dimensions
};

// Error(data) if dimensions differ, or if the moments are not finite.
FrechetDistance frechet_distance(const Moments& a, const Moments& b);

}  // namespace poise
