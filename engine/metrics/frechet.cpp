#include "engine/metrics/frechet.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/metrics/linear_algebra.h"
#include "kernels/core/error.h"

namespace poise {
namespace {

void check(const Moments& m, const char* which) {
  require(static_cast<int64_t>(m.mean.size()) == m.dims && static_cast<int64_t>(m.covariance.size()) == m.dims * m.dims,
          "moments of their dimensions");
  const auto finite = [](double x) { return std::isfinite(x); };
  if (!std::all_of(m.mean.begin(), m.mean.end(), finite)) {
    fail(ErrorKind::data, std::string("Fréchet distance: the mean of the ") + which +
                              " set has numbers that are not finite; compute its statistics again");
  }
  if (!std::all_of(m.covariance.begin(), m.covariance.end(), finite)) {
    fail(ErrorKind::data, std::string("Fréchet distance: the covariance of the ") + which +
                              " set has numbers that are not finite; compute its statistics again");
  }
}

// W [n, rank] by columns, S = W W^T, without the directions in which S is zero up to rounding or negative, as in
// covariances that some tools store as float32. (Their readers refuse a matrix that is not a covariance.)
Factor root_of(const Moments& m) {
  const int64_t n = m.dims;
  Factor root{.l = m.covariance};
  const std::vector<double> values = symmetric_eigenvalues(root.l, n);  // ascending
  const double noise = static_cast<double>(n) * std::numeric_limits<double>::epsilon() * std::max(values.back(), 0.0);
  int64_t null = 0;
  while (null < n && !(values[static_cast<size_t>(null)] > noise)) ++null;
  root.rank = n - null;
  root.l.erase(root.l.begin(), root.l.begin() + null * n);
  for (int64_t column = 0; column < root.rank; ++column) {
    const double scale = std::sqrt(values[static_cast<size_t>(null + column)]);
    for (int64_t i = 0; i < n; ++i) root.l[static_cast<size_t>(column * n + i)] *= scale;
  }
  return root;
}

// tr (S_a S_b)^(1/2). One of the factors may be Cholesky's, which takes a tenth of the time of eigenvectors.
double trace_of_root(const Moments& a, const Moments& b) {
  const Factor of_a = root_of(a), of_b = cholesky_factor(b.covariance, b.dims);
  double trace = 0;
  for (const double value :
       singular_values(matrix_product(true, of_a.l, of_b.l, of_a.rank, of_b.rank, a.dims), of_a.rank, of_b.rank)) {
    trace += value;
  }
  return trace;
}

void warn_if_few(const Moments& m, const char* which, std::vector<std::string>& warnings) {
  if (m.count == 0 || m.count > m.dims) return;
  warnings.push_back("the " + std::string(which) + " set has " + std::to_string(m.count) + " images for " +
                     std::to_string(m.dims) + " dimensions: its covariance is singular and the distance far too " +
                     "large; compare only with the same number of images, or use more than " + std::to_string(m.dims));
}

}  // namespace

FrechetDistance frechet_distance(const Moments& a, const Moments& b) {
  if (a.dims != b.dims) {
    fail(ErrorKind::data, "Fréchet distance: expected two sets of the same features, got " + std::to_string(a.dims) +
                              " and " + std::to_string(b.dims) + " dimensions; choose the tap of the statistics");
  }
  check(a, "first");
  check(b, "second");
  FrechetDistance d{.trace_a = a.trace(), .trace_b = b.trace()};
  for (size_t i = 0; i < a.mean.size(); ++i) d.mean_term += (a.mean[i] - b.mean[i]) * (a.mean[i] - b.mean[i]);
  d.trace_root = trace_of_root(a, b);
  d.value = std::max(0.0, d.mean_term + d.trace_a + d.trace_b - 2 * d.trace_root);
  if (!std::isfinite(d.value)) {
    fail(ErrorKind::data, "Fréchet distance: the features are too large for float64; look at the images");
  }
  warn_if_few(a, "first", d.warnings);
  warn_if_few(b, "second", d.warnings);
  return d;
}

}  // namespace poise
