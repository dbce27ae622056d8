#include "engine/metrics/precision_recall.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <limits>

#include "engine/metrics/feature_rows.h"
#include "kernels/core/simd.h"

namespace poise {
namespace {

// A tile of distances is kRows x kColumns; a slice of its columns, kDepth x kColumns doubles, fits in the L1 cache.
constexpr int64_t kRows = 128, kColumns = 64, kDepth = 32, kUnroll = 4;

struct Rows {
  const float* values;  // [count, dims]
  int64_t count, dims;
};

// sums [kColumns] += (x[d] - columns[d, j])^2 for d = 0 .. kDepth-1 in order.
const auto add_squares = simd([](const double* x, const double* columns, double* sums) {
  for (int64_t d = 0; d < kDepth; d += kUnroll) {
#pragma GCC ivdep
    for (int64_t j = 0; j < kColumns; ++j) {
      double sum = sums[j];
      for (int64_t u = d; u < d + kUnroll; ++u) {
        const double difference = x[u] - columns[u * kColumns + j];
        sum += difference * difference;
      }
      sums[j] = sum;
    }
  }
});

// Squared distances of the rows of x from first_x on to the rows of y from first_y on, as many as fit in a tile.
class Tile {
 public:
  Tile(const Rows& x, const Rows& y) : x_(x), y_(y), sums_(kRows * kColumns), slice_(kDepth * kColumns) {}

  void compute(int64_t first_x, int64_t first_y) {
    rows = std::min(kRows, x_.count - first_x);
    columns = std::min(kColumns, y_.count - first_y);
    std::fill(sums_.begin(), sums_.end(), 0.0);
    for (int64_t start = 0; start < x_.dims; start += kDepth) {
      const int64_t depth = std::min(kDepth, x_.dims - start);  // beyond it both sides are zero
      std::fill(slice_.begin(), slice_.end(), 0.0);
      for (int64_t j = 0; j < columns; ++j) {
        const float* row = y_.values + (first_y + j) * y_.dims + start;
        for (int64_t d = 0; d < depth; ++d) slice_[static_cast<size_t>(d * kColumns + j)] = row[d];
      }
      std::array<double, kDepth> x{};
      for (int64_t i = 0; i < rows; ++i) {
        const float* row = x_.values + (first_x + i) * x_.dims + start;
        std::copy_n(row, depth, x.begin());
        add_squares(x.data(), slice_.data(), sums_.data() + i * kColumns);
      }
    }
  }
  double operator()(int64_t i, int64_t j) const { return sums_[static_cast<size_t>(i * kColumns + j)]; }

  int64_t rows = 0, columns = 0;

 private:
  const Rows &x_, &y_;
  std::vector<double> sums_, slice_;
};

// The squared distance of each row to its k-th nearest neighbour among the others.
std::vector<double> squared_radii(const Rows& x, int64_t k) {
  std::vector<double> radii(static_cast<size_t>(x.count));
  parallel_chunks(x.count, kRows, [&](int64_t first, int64_t) {
    Tile tile(x, x);
    std::vector<double> nearest(static_cast<size_t>(kRows * k), std::numeric_limits<double>::infinity());
    for (int64_t other = 0; other < x.count; other += kColumns) {
      tile.compute(first, other);
      for (int64_t i = 0; i < tile.rows; ++i) {
        double* ascending = nearest.data() + i * k;
        for (int64_t j = 0; j < tile.columns; ++j) {
          const double distance = tile(i, j);
          if (!(distance < ascending[k - 1]) || first + i == other + j) continue;
          double* at = std::upper_bound(ascending, ascending + k, distance);
          std::move_backward(at, ascending + k - 1, ascending + k);
          *at = distance;
        }
      }
    }
    for (int64_t i = 0; i < tile.rows; ++i) {
      radii[static_cast<size_t>(first + i)] = nearest[static_cast<size_t>(i * k + k - 1)];
    }
  });
  return radii;
}

using Flags = std::vector<std::atomic<bool>>;  // only ever set, so the order of the threads does not matter

double share(const Flags& flags) {
  const auto set = std::count_if(flags.begin(), flags.end(), [](const auto& flag) { return flag.load(); });
  return static_cast<double>(set) / static_cast<double>(flags.size());
}

}  // namespace

double PrecisionRecall::harmonic_mean() const {
  return precision + recall > 0 ? 2 * precision * recall / (precision + recall) : 0;
}

PrecisionRecall precision_recall(std::span<const float> generated, std::span<const float> reference, int64_t dims,
                                 const PrecisionRecallOptions& options) {
  const int64_t k = options.neighbours;
  require(k > 0, "precision and recall count neighbours");
  const Rows a{generated.data(), rows_of(generated, dims), dims};
  const Rows b{reference.data(), rows_of(reference, dims), dims};
  const std::string images =
      std::to_string(a.count) + " generated and " + std::to_string(b.count) + " reference images";
  if (std::min(a.count, b.count) <= k) {
    fail(ErrorKind::data, "precision and recall: expected at least " + std::to_string(k + 1) +
                              " images in each set, for " + std::to_string(k) + " neighbours of each, but got " +
                              images + "; use more");
  }
  for (const auto& features : {generated, reference}) check_finite("precision and recall", features);
  const std::vector<double> radii_a = squared_radii(a, k), radii_b = squared_radii(b, k);
  Flags good(static_cast<size_t>(a.count)), found(static_cast<size_t>(b.count));
  parallel_chunks(a.count, kRows, [&](int64_t first, int64_t) {
    Tile tile(a, b);
    for (int64_t other = 0; other < b.count; other += kColumns) {
      tile.compute(first, other);
      for (int64_t i = 0; i < tile.rows; ++i) {
        const auto at = static_cast<size_t>(first + i);
        for (int64_t j = 0; j < tile.columns; ++j) {
          const auto to = static_cast<size_t>(other + j);
          if (tile(i, j) <= radii_b[to]) good[at].store(true, std::memory_order_relaxed);
          if (tile(i, j) <= radii_a[at]) found[to].store(true, std::memory_order_relaxed);
        }
      }
    }
  });
  PrecisionRecall result{.precision = share(good), .recall = share(found), .neighbours = k};
  if (std::min(a.count, b.count) < kPrecisionRecallImages) {
    result.warnings.push_back("precision and recall of " + images + ": both depend on the numbers; use " +
                              std::to_string(kPrecisionRecallImages) + " or more of each (the paper: 50000)");
  }
  return result;
}

}  // namespace poise
