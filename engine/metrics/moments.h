// Mean and covariance of rows of features, accumulated as they arrive: all that the Fréchet distance needs of a set.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace poise {

struct Moments {
  int64_t count = 0, dims = 0;     // count 0: unknown (statistics of other tools do not contain it)
  std::vector<double> mean;        // [dims]
  std::vector<double> covariance;  // [dims,dims], divided by count - 1

  double trace() const;
};

// All in float64. Rows are taken in chunks: each is centred on its own mean before its products are summed, and merged
// into the rest (Chan, Golub, LeVeque 1979):
//   n = n_a + n_b,  delta = mean_b - mean_a,  mean = mean_a + delta n_b / n,
//   M = M_a + M_b + delta delta^T n_a n_b / n,          covariance = M / (n - 1)
// so nothing cancels, however far the mean is from zero. Chunks have the same size however the rows are divided into
// calls, so the same rows give the same bits. A different order of the rows changes only the rounding.
class MomentAccumulator {
 public:
  explicit MomentAccumulator(int64_t dims);

  // rows [n,dims]. Error(runtime) that names the row if a value is not finite.
  void add(std::span<const float> rows);
  int64_t count() const { return count_ + chunk_rows_; }
  Moments moments();  // of all rows so far; Error(data) for fewer than two

 private:
  void merge_chunk();

  int64_t dims_, count_ = 0, chunk_rows_ = 0;
  std::vector<double> mean_, products_;  // of the merged rows: [dims], and the upper triangle of M
  std::vector<double> chunk_;            // [kChunk, dims]
};

}  // namespace poise
