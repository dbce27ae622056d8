// KID, the Kernel Inception Distance (Binkowski et al. 2018): the unbiased squared maximum mean discrepancy with the
// kernel k(x, y) = (x.y / dims + 1)^3, averaged over random subsets of both sets:
//
//   mmd^2 = sum_{i != j} k(x_i, x_j) / m(m-1) + sum_{i != j} k(y_i, y_j) / m(m-1) - 2 sum_{i, j} k(x_i, y_j) / m^2
//
// Being unbiased it may be negative, and unlike FID it does not depend on the number of images.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace poise {

struct KernelDistance {
  double mean = 0, deviation = 0;  // over subsets; the deviation divides by their number
  int64_t subsets = 0, subset_size = 0;
  std::vector<std::string> warnings;
};

struct KernelDistanceOptions {
  int64_t subsets = 100, subset_size = 1000;
  uint64_t seed = 0;
};

// a [n, dims], b [m, dims]. If a set is smaller than a subset, subsets have its size, with a warning. Error(data) for
// fewer than two images, Error(runtime) for features that are not finite.
KernelDistance kernel_distance(std::span<const float> a, std::span<const float> b, int64_t dims,
                               const KernelDistanceOptions& options);

}  // namespace poise
