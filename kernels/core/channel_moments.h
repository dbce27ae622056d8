// Mean and sum of squared deviations of each channel of a matrix [rows][channels]. A batch normalisation computes them
// from its input, or a layer from its output (layer_output.h).
//
// One read suffices and is numerically safe: each part of the rows sums the deviations from a centre near its mean, and
// their squares (the shifted algorithm of Chan, Golub, LeVeque, "Algorithms for computing the sample variance", 1983).
// The parts are combined in double, in order (same paper):
//   mean = sum_k n_k mean_k / M;   M2 = sum_k ( M2_k + n_k (mean_k - mean)^2 )
#pragma once
#include <algorithm>

#include "kernels/core/moment_sums.h"
#include "kernels/core/tensor.h"

namespace poise::cpu {

// Computes mean[c] and m2[c] of a part from its sums.
template <class Number>
void part_moments(int64_t rows, int64_t channels, const Number* centre, const Number* deviation, const Number* square,
                  double* mean, double* m2) {
  const double n = static_cast<double>(rows);
  for (int64_t c = 0; c < channels; ++c) {
    const double missed = static_cast<double>(deviation[c]);  // n * (mean - centre)
    mean[c] = static_cast<double>(centre[c]) + missed / n;
    m2[c] = std::max(static_cast<double>(square[c]) - missed * missed / n, 0.0);
  }
}

// The parts that all rows are cut into.
struct MomentParts {
  const double* moments;  // [count][2][channels]: mean, m2
  int64_t count, channels;
  int64_t rows, rows_each;           // in total; in each part except the last, which may have fewer
  const int64_t* rows_of = nullptr;  // [count]: replaces rows_each. Parts with 0 rows are not read

  // Computes mean[c] and m2[c] of all rows, for `channels_now` channels starting at `first`.
  void combine(int64_t first, int64_t channels_now, double* mean, double* m2) const;
  // The same for all channels; `of_all` receives mean and m2, f64 [2][channels].
  void combine(const Tensor& of_all) const;
  // For parts whose `moments` are two plain sums per channel: adds them up over the parts.
  void add(const Tensor& of_all) const;
};

constexpr int64_t kCombinedChannels = 32;  // per task

}  // namespace poise::cpu
