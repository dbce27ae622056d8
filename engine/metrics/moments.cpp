#include "engine/metrics/moments.h"

#include <cmath>
#include <string>

#include "engine/metrics/linear_algebra.h"
#include "kernels/core/error.h"

namespace poise {
namespace {

constexpr int64_t kChunk = 256;

}  // namespace

double Moments::trace() const {
  double sum = 0;
  for (int64_t i = 0; i < dims; ++i) sum += covariance[static_cast<size_t>(i * dims + i)];
  return sum;
}

MomentAccumulator::MomentAccumulator(int64_t dims)
    : dims_(dims),
      mean_(static_cast<size_t>(dims)),
      products_(static_cast<size_t>(dims * dims)),
      chunk_(static_cast<size_t>(kChunk * dims)) {
  require(dims > 0, "features have dimensions");
}

void MomentAccumulator::add(std::span<const float> rows) {
  require(static_cast<int64_t>(rows.size()) % dims_ == 0, "whole rows of features");
  for (auto row = rows.begin(); row != rows.end(); row += dims_) {
    double* to = chunk_.data() + chunk_rows_ * dims_;
    for (int64_t i = 0; i < dims_; ++i) {
      if (!std::isfinite(row[i])) {
        fail(ErrorKind::runtime, "features: image " + std::to_string(count()) + " has feature " + std::to_string(i) +
                                     " that is not finite; the network or its input is broken");
      }
      to[i] = row[i];
    }
    if (++chunk_rows_ == kChunk) merge_chunk();
  }
}

void MomentAccumulator::merge_chunk() {
  if (chunk_rows_ == 0) return;
  std::vector<double> delta(static_cast<size_t>(dims_));  // the chunk's mean, then its distance from the mean so far
  const auto n_b = static_cast<double>(chunk_rows_), n_a = static_cast<double>(count_), n = n_a + n_b;
  for (int64_t row = 0; row < chunk_rows_; ++row) {
    for (int64_t i = 0; i < dims_; ++i) delta[i] += chunk_[row * dims_ + i];
  }
  for (double& x : delta) x /= n_b;
  for (int64_t row = 0; row < chunk_rows_; ++row) {
    for (int64_t i = 0; i < dims_; ++i) chunk_[row * dims_ + i] -= delta[i];
  }
  add_outer_products(dims_, chunk_rows_, chunk_.data(), products_.data());
  for (int64_t i = 0; i < dims_; ++i) {
    delta[i] -= mean_[i];
    mean_[i] += delta[i] * n_b / n;
  }
  if (count_ > 0) {
    const double scale = std::sqrt(n_a * n_b / n);
    for (double& x : delta) x *= scale;
    add_outer_products(dims_, 1, delta.data(), products_.data());
  }
  count_ += chunk_rows_;
  chunk_rows_ = 0;
}

Moments MomentAccumulator::moments() {
  merge_chunk();
  if (count_ < 2) {
    fail(ErrorKind::data, "a covariance needs at least 2 images but got " + std::to_string(count_) + "; use more");
  }
  Moments result{.count = count_, .dims = dims_, .mean = mean_, .covariance = products_};
  mirror_upper(dims_, result.covariance.data());
  for (double& x : result.covariance) x /= static_cast<double>(count_ - 1);
  return result;
}

}  // namespace poise
