#include "engine/metrics/inception_score.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/core/error.h"
#include "kernels/core/parallel.h"
#include "kernels/train/random.h"

namespace poise {
namespace {

// sum_x sum_c p log p of the rows, and p summed over them
double add_row(const float* logits, int64_t classes, std::vector<double>& p, std::vector<double>& sum) {
  const double largest = *std::max_element(logits, logits + classes);
  double total = 0, negative_entropy = 0;
  for (int64_t c = 0; c < classes; ++c) total += p[c] = std::exp(logits[c] - largest);
  const double log_total = std::log(total);
  for (int64_t c = 0; c < classes; ++c) {
    p[c] /= total;
    negative_entropy += p[c] * (logits[c] - largest - log_total);
    sum[c] += p[c];
  }
  return negative_entropy;
}

}  // namespace

std::vector<int64_t> random_order(int64_t n, uint64_t seed) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), int64_t{0});
  std::vector<double> u(static_cast<size_t>(n));
  uniform_on_host(seed, RandomStream::metric, 0, n, u.data());
  for (int64_t i = n - 1; i > 0; --i) {
    const int64_t j = std::min(i, static_cast<int64_t>(u[static_cast<size_t>(i)] * static_cast<double>(i + 1)));
    std::swap(order[static_cast<size_t>(i)], order[static_cast<size_t>(j)]);
  }
  return order;
}

InceptionScore inception_score(std::span<const float> logits, int64_t classes, const InceptionScoreOptions& options) {
  require(classes > 0 && static_cast<int64_t>(logits.size()) % classes == 0, "whole rows of logits");
  const int64_t n = static_cast<int64_t>(logits.size()) / classes;
  if (options.splits < 1 || n < options.splits) {
    fail(ErrorKind::data, "Inception Score: expected at least one image for each of " + std::to_string(options.splits) +
                              " splits but got " + std::to_string(n) + "; use more images or fewer splits");
  }
  for (size_t i = 0; i < logits.size(); ++i) {
    if (std::isfinite(logits[i])) continue;
    fail(ErrorKind::runtime, "Inception Score: image " + std::to_string(i / static_cast<size_t>(classes)) +
                                 " has a logit that is not finite; the network or its input is broken");
  }
  std::vector<int64_t> order;
  if (options.shuffle_seed) order = random_order(n, *options.shuffle_seed);
  std::vector<double> scores(static_cast<size_t>(options.splits));
  parallel_for(options.splits, [&](int64_t split) {
    const int64_t first = split * n / options.splits, last = (split + 1) * n / options.splits;
    std::vector<double> p(static_cast<size_t>(classes)), sum(static_cast<size_t>(classes));
    double conditional = 0;
    for (int64_t row = first; row < last; ++row) {
      const int64_t image = order.empty() ? row : order[static_cast<size_t>(row)];
      conditional += add_row(logits.data() + image * classes, classes, p, sum);
    }
    const auto rows = static_cast<double>(last - first);
    double marginal = 0;  // a class that no image has contributes nothing: 0 log 0 = 0
    for (const double s : sum)
      if (s > 0) marginal += s / rows * std::log(s / rows);
    scores[static_cast<size_t>(split)] = std::exp(conditional / rows - marginal);
  });
  InceptionScore score{.splits = options.splits};
  for (const double s : scores) score.mean += s / static_cast<double>(options.splits);
  double variance = 0;
  for (const double s : scores) variance += (s - score.mean) * (s - score.mean) / static_cast<double>(options.splits);
  score.deviation = std::sqrt(variance);
  if (n < 500 * options.splits) {
    score.warnings.push_back("Inception Score of " + std::to_string(n / options.splits) +
                             " images per split: it grows with their number; tables use 5,000 (or 500) per split");
  }
  return score;
}

}  // namespace poise
