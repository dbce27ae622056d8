#include "engine/metrics/kernel_distance.h"

#include <algorithm>
#include <cmath>

#include "engine/metrics/feature_rows.h"
#include "engine/metrics/inception_score.h"
#include "engine/metrics/linear_algebra.h"

namespace poise {
namespace {

// `size` random rows as columns of a matrix [dims, size].
std::vector<double> subset(std::span<const float> rows, int64_t dims, int64_t size, uint64_t seed) {
  const std::vector<int64_t> order = random_order(static_cast<int64_t>(rows.size()) / dims, seed);
  std::vector<double> chosen;
  chosen.reserve(static_cast<size_t>(size * dims));
  for (int64_t i = 0; i < size; ++i) {
    const auto row = rows.begin() + order[static_cast<size_t>(i)] * dims;
    chosen.insert(chosen.end(), row, row + dims);
  }
  return chosen;
}

// The mean of k(x_i, y_j) over all pairs, or over those with i != j.
double mean_kernel(const std::vector<double>& x, const std::vector<double>& y, int64_t dims, int64_t size, bool same) {
  const std::vector<double> products = matrix_product(true, x, y, size, size, dims);
  double sum = 0;
  for (int64_t j = 0; j < size; ++j) {
    for (int64_t i = 0; i < size; ++i) {
      const double k = products[static_cast<size_t>(j * size + i)] / static_cast<double>(dims) + 1;
      if (!same || i != j) sum += k * k * k;
    }
  }
  return sum / static_cast<double>(same ? size * (size - 1) : size * size);
}

}  // namespace

KernelDistance kernel_distance(std::span<const float> a, std::span<const float> b, int64_t dims,
                               const KernelDistanceOptions& options) {
  const int64_t smaller = std::min(rows_of(a, dims), rows_of(b, dims));
  require(options.subsets > 0, "KID has subsets");
  if (smaller < 2) fail(ErrorKind::data, "KID needs at least 2 images in each set; use more");
  for (const auto& features : {a, b}) check_finite("KID", features);
  KernelDistance d{.subsets = options.subsets, .subset_size = std::min(options.subset_size, smaller)};
  if (d.subset_size < options.subset_size) {
    d.warnings.push_back("KID with subsets of " + std::to_string(d.subset_size) + " instead of " +
                         std::to_string(options.subset_size) + " images: there are no more");
  }
  std::vector<double> values;
  for (int64_t i = 0; i < d.subsets; ++i) {
    const uint64_t seed = options.seed + 2 * static_cast<uint64_t>(i);
    const std::vector<double> x = subset(a, dims, d.subset_size, seed);
    const std::vector<double> y = subset(b, dims, d.subset_size, seed + 1);
    values.push_back(mean_kernel(x, x, dims, d.subset_size, true) + mean_kernel(y, y, dims, d.subset_size, true) -
                     2 * mean_kernel(x, y, dims, d.subset_size, false));
  }
  for (const double v : values) d.mean += v / static_cast<double>(d.subsets);
  double variance = 0;
  for (const double v : values) variance += (v - d.mean) * (v - d.mean) / static_cast<double>(d.subsets);
  d.deviation = std::sqrt(variance);
  return d;
}

}  // namespace poise
