// Mean and sum of squared deviations of each channel of a matrix [rows][channels], as a batch normalisation takes them of
// what it reads, or a layer of what it writes (layer_output.h).
//
// In one read, safely: each part of the rows sums deviations from a centre near its mean, and their squares (the shifted
// algorithm of Chan, Golub, LeVeque, "Algorithms for computing the sample variance", 1983); parts combine in double, in
// order (there too):
//   mean = sum_k n_k mean_k / M;   M2 = sum_k ( M2_k + n_k (mean_k - mean)^2 )
#pragma once
#include <algorithm>

#include "kernels/core/moment_sums.h"
#include "kernels/core/tensor.h"

namespace poise::cpu {

// mean[c] and m2[c] of a part, from its sums.
template <class Number>
void part_moments(int64_t rows, int64_t channels, const Number* centre, const Number* deviation, const Number* square,
                  double* mean, double* m2) {
  const double n = static_cast<double>(rows);
  for (int64_t c = 0; c < channels; ++c) {
    const double missed = static_cast<double>(deviation[c]);  // what the centre misses of the mean, times n
    mean[c] = static_cast<double>(centre[c]) + missed / n;
    m2[c] = std::max(static_cast<double>(square[c]) - missed * missed / n, 0.0);
  }
}

// The parts of all rows.
struct MomentParts {
  const double* moments;  // [count][2][channels]: mean, m2
  int64_t count, channels;
  int64_t rows, rows_each;           // of all parts, and of each but the last, which may have fewer
  const int64_t* rows_of = nullptr;  // [count], if that is not so. Of a part without rows the moments are not read

  // mean[c] and m2[c] of all rows, for `channels_now` channels starting at `first`.
  void combine(int64_t first, int64_t channels_now, double* mean, double* m2) const;
  // The same of all channels: moments f64 [2][channels].
  void combine(const Tensor& of_all) const;
  // Of parts that are two sums each instead.
  void add(const Tensor& of_all) const;
};

constexpr int64_t kCombinedChannels = 32;  // of a task

}  // namespace poise::cpu
