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

// A covariance has no negative eigenvalue but for rounding: some tools store float32, and products of two have noise
// wherever both are zero.
void check_not_negative(const std::vector<double>& ascending, double noise) {
  constexpr double kRounding = 1e-5;
  if (ascending.empty() || ascending.front() >= -kRounding * std::abs(ascending.back()) - noise) return;
  fail(ErrorKind::data, "Fréchet distance: one of the covariances has the negative eigenvalue " +
                            std::to_string(ascending.front()) + ", so it is none; make its statistics anew");
}

// tr (S_a S_b)^(1/2)
double trace_of_root(const Moments& a, const Moments& b) {
  const int64_t n = a.dims;
  std::vector<double> w = a.covariance;
  const std::vector<double> values = symmetric_eigenvalues(w, n, true);
  check_not_negative(values, 0);
  const double noise = static_cast<double>(n) * std::numeric_limits<double>::epsilon() * std::max(values.back(), 0.0);
  int64_t null = 0;  // eigenvalues ascend
  while (null < n && !(values[static_cast<size_t>(null)] > noise)) ++null;
  const int64_t rank = n - null;
  w.erase(w.begin(), w.begin() + null * n);  // [n, rank]
  for (int64_t column = 0; column < rank; ++column) {
    const double root = std::sqrt(values[static_cast<size_t>(null + column)]);
    for (int64_t i = 0; i < n; ++i) w[static_cast<size_t>(column * n + i)] *= root;
  }
  const std::vector<double> s_w = matrix_product(false, b.covariance, w, n, rank, n);
  std::vector<double> product = matrix_product(true, w, s_w, rank, rank, n);  // dsyevd reads its upper triangle
  double trace = 0;
  const std::vector<double> squares = symmetric_eigenvalues(product, rank, false);
  check_not_negative(squares, 1e-9 * std::abs(a.trace() * b.trace()));
  for (const double value : squares) trace += std::sqrt(std::max(value, 0.0));
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
  // The set of lower rank takes the root: then what is left of the product has no null directions either.
  const bool b_is_smaller = b.count > 0 && (a.count == 0 || b.count < a.count);
  d.trace_root = b_is_smaller ? trace_of_root(b, a) : trace_of_root(a, b);
  d.value = std::max(0.0, d.mean_term + d.trace_a + d.trace_b - 2 * d.trace_root);
  if (!std::isfinite(d.value)) {
    fail(ErrorKind::data, "Fréchet distance: the features are too large for float64; look at the images");
  }
  warn_if_few(a, "first", d.warnings);
  warn_if_few(b, "second", d.warnings);
  return d;
}

}  // namespace poise
