// Batch normalisation on the CPU. All passes are bound by memory, so the tensor is read as rarely as the formula
// allows: forward once for both moments and once to normalise, backward once for both sums and once to write dx.
// Moments: kernels/core/channel_moments.h.
#include "kernels/dense/norm/batch_norm.h"

#include <cmath>
#include <utility>

#include "kernels/core/channel_moments.h"
#include "kernels/core/channel_norm.h"
#include "kernels/core/dispatch.h"
#include "kernels/core/integer.h"
#include "kernels/core/simd.h"
#include "kernels/ranks/ranks.h"

namespace poise::cpu {
namespace {

constexpr int64_t kChannels = 256;  // channels whose sums or coefficients a task keeps on its stack
constexpr int64_t kRowsAtOnce = 4;  // in the summing loops, which otherwise write sums as often as they read

// The matrix [M,C] in chunks of rows, one chunk per task. Workspace: doubles, [chunks][2][C].
struct Rows {
  int64_t rows, channels;
  Rows(const Tensor& x, const Tensor& gamma) : rows(x.elements() / gamma.elements()), channels(gamma.elements()) {}
  int64_t chunks() const { return ceil_div(rows, kBatchNormChunkRows); }
  int64_t rows_of(int64_t chunk) const { return std::min(kBatchNormChunkRows, rows - chunk * kBatchNormChunkRows); }
  int64_t offset(int64_t chunk) const { return chunk * kBatchNormChunkRows * channels; }
};

MomentParts chunks_of(const Rows& m, const double* sums) {
  return {
      .moments = sums, .count = m.chunks(), .channels = m.channels, .rows = m.rows, .rows_each = kBatchNormChunkRows};
}
// Sums that another op has computed, as a single part.
MomentParts one_part(const Rows& m, const Tensor& sums) {
  return {.moments = sums.data<double>(), .count = 1, .channels = m.channels, .rows = m.rows, .rows_each = m.rows};
}

double* sums_in(const Tensor& workspace) { return reinterpret_cast<double*>(workspace.data<uint8_t>()); }

// Sums term(row, c), which is a pair, over `rows` rows: sums[i][c] = sum of the pair's element i, for `channels` <=
// kChannels. Adds four rows to each other first.
template <class Number, class Term>
void sum_rows(int64_t rows, int64_t channels, Number (&sums)[2][kChannels], const Term& term) {
  int64_t row = 0;
  for (; row + kRowsAtOnce <= rows; row += kRowsAtOnce) {
    for (int64_t c = 0; c < channels; ++c) {
      const auto a = term(row, c), b = term(row + 1, c), d = term(row + 2, c), e = term(row + 3, c);
      sums[0][c] += (a.first + b.first) + (d.first + e.first);
      sums[1][c] += (a.second + b.second) + (d.second + e.second);
    }
  }
  for (; row < rows; ++row) {
    for (int64_t c = 0; c < channels; ++c) {
      const auto a = term(row, c);
      sums[0][c] += a.first;
      sums[1][c] += a.second;
    }
  }
}

// mean[c] and m2[c] (sum of squared deviations) of `rows` rows, for `channels` <= kChannels.
template <class T>
void chunk_moments(const T* x, int64_t rows, int64_t stride, int64_t channels, double* mean, double* m2) {
  using Number = Computed<T>;
  alignas(64) Number centre[kChannels] = {}, sums[2][kChannels] = {};
  const int64_t first_rows = std::min(rows, kRowsAtOnce);
  for (int64_t row = 0; row < first_rows; ++row) {
    for (int64_t c = 0; c < channels; ++c) centre[c] += computed(x[row * stride + c]);
  }
  for (int64_t c = 0; c < channels; ++c) centre[c] /= static_cast<Number>(first_rows);
  sum_rows(rows, channels, sums, [&](int64_t row, int64_t c) {
    const Number deviation = computed(x[row * stride + c]) - centre[c];
    return std::pair(deviation, deviation * deviation);
  });
  part_moments(rows, channels, centre, sums[0], sums[1], mean, m2);
}

template <class T>
MomentParts moments(const Rows& m, const T* x, double* sums) {
  simd_for(m.chunks(), [=](int64_t chunk) {
    double* chunk_sums = sums + chunk * 2 * m.channels;
    for (int64_t first = 0; first < m.channels; first += kChannels) {
      chunk_moments(x + m.offset(chunk) + first, m.rows_of(chunk), m.channels, std::min(kChannels, m.channels - first),
                    chunk_sums + first, chunk_sums + m.channels + first);
    }
  });
  return chunks_of(m, sums);
}

// Gathers the moments of all ranks' rows: [ranks][2][C].
MomentParts exchange_moments(Context& ctx, Ranks& ranks, const MomentParts& own, const Tensor& workspace) {
  const Tensor mine = batch_norm_exchange(workspace, own.rows, own.channels, 0, 1, DType::f64);
  const Tensor all = batch_norm_exchange(workspace, own.rows, own.channels, 1, ranks.size(), DType::f64);
  own.combine(mine);
  ranks.gather(ctx, mine, all);
  return {.moments = all.data<double>(),
          .count = ranks.size(),
          .channels = own.channels,
          .rows = ranks.size() * own.rows,
          .rows_each = own.rows};
}

template <class T>
void normalise(const Normalisation& bn, const Tensor& from, Tensor& to) {
  using Number = Computed<T>;
  const Rows m(from, bn.gamma);
  const Number floor = activation_floor<Number>(bn.relu);
  const T* x = from.data<T>();
  const Number *gamma = bn.gamma.data<Number>(), *beta = bn.beta.data<Number>();
  const Number *mean = bn.mean.data<Number>(), *inv_std = bn.inv_std.data<Number>();
  T* y = to.data<T>();
  simd_for(m.chunks(), [=](int64_t chunk) {
    for (int64_t first = 0; first < m.channels; first += kChannels) {
      const int64_t channels = std::min(kChannels, m.channels - first);
      alignas(64) Number scale[kChannels];
      for (int64_t c = 0; c < channels; ++c) scale[c] = gamma[first + c] * inv_std[first + c];
      for (int64_t row = 0; row < m.rows_of(chunk); ++row) {
        const int64_t at = m.offset(chunk) + row * m.channels + first;
#pragma GCC ivdep
        for (int64_t c = 0; c < channels; ++c) {
          const Number value = normalised(computed(x[at + c]), mean[first + c], scale[c], beta[first + c]);
          y[at + c] = stored<T>(value < floor ? floor : value);  // in this order NaN stays NaN
        }
      }
    }
  });
}

// sums[chunk][0] = sum g;  sums[chunk][1] = sum g (x - mean)
template <class T>
MomentParts gradient_sums(const Rows& m, const BatchNormOptions& options, const BatchNormBackwardOperands& bn,
                          double* sums) {
  using Number = Computed<T>;
  const Number floor = activation_floor<Number>(options.relu);
  const T *x = bn.x.data<T>(), *dy = bn.dy.data<T>();
  const Number *gamma = bn.gamma.data<Number>(), *beta = bn.beta.data<Number>();
  const Number *mean = bn.mean.data<Number>(), *inv_std = bn.inv_std.data<Number>();
  simd_for(m.chunks(), [=](int64_t chunk) {
    double* chunk_sums = sums + chunk * 2 * m.channels;
    for (int64_t first = 0; first < m.channels; first += kChannels) {
      const int64_t channels = std::min(kChannels, m.channels - first);
      alignas(64) Number scale[kChannels], centre[kChannels], offset[kChannels];
      alignas(64) Number total[2][kChannels] = {};
      for (int64_t c = 0; c < channels; ++c) {
        scale[c] = gamma[first + c] * inv_std[first + c];
        centre[c] = mean[first + c];
        offset[c] = beta[first + c];
      }
      const T *values = x + m.offset(chunk) + first, *upstreams = dy + m.offset(chunk) + first;
      sum_rows(m.rows_of(chunk), channels, total, [&, stride = m.channels](int64_t row, int64_t c) {
        const Number value = computed(values[row * stride + c]), upstream = computed(upstreams[row * stride + c]);
        const Number grad = normalised(value, centre[c], scale[c], offset[c]) <= floor ? Number{0} : upstream;
        return std::pair(grad, grad * (value - centre[c]));
      });
      for (int64_t c = 0; c < channels; ++c) {
        chunk_sums[first + c] = static_cast<double>(total[0][c]);
        chunk_sums[m.channels + first + c] = static_cast<double>(total[1][c]);
      }
    }
  });
  return chunks_of(m, sums);
}

// The sums over all rows that the statistics cover, and the number of these rows.
template <class T>
struct GradientTotals {
  const T *dgamma, *dbeta;
  int64_t rows;
};

// Adds up the sums of all ranks, in their order.
template <class T>
GradientTotals<T> exchange_gradients(Context& ctx, Ranks& ranks, const Rows& m, const BatchNormBackwardOperands& bn,
                                     const Tensor& workspace) {
  const Tensor mine = batch_norm_exchange(workspace, m.rows, m.channels, 0, 1, bn.dgamma.dtype);
  const Tensor all = batch_norm_exchange(workspace, m.rows, m.channels, 1, ranks.size(), bn.dgamma.dtype);
  const Tensor total = batch_norm_exchange(workspace, m.rows, m.channels, 1 + ranks.size(), 1, bn.dgamma.dtype);
  std::copy_n(bn.dgamma.data<T>(), m.channels, mine.data<T>());
  std::copy_n(bn.dbeta.data<T>(), m.channels, mine.data<T>() + m.channels);
  ranks.gather(ctx, mine, all);
  T* sum = total.data<T>();
  std::fill_n(sum, 2 * m.channels, T{0});
  for (int64_t r = 0; r < ranks.size(); ++r) {
    const T* of_rank = all.data<T>() + r * 2 * m.channels;
    for (int64_t i = 0; i < 2 * m.channels; ++i) sum[i] += of_rank[i];
  }
  return {sum, sum + m.channels, ranks.size() * m.rows};
}

template <class T>
void input_gradient(const Rows& m, const BatchNormOptions& options, bool train, const BatchNormBackwardOperands& bn,
                    const GradientTotals<Computed<T>>& totals) {
  using Number = Computed<T>;
  const Number floor = activation_floor<Number>(options.relu);
  const T *x = bn.x.data<T>(), *dy = bn.dy.data<T>();
  const Number *gamma = bn.gamma.data<Number>(), *beta = bn.beta.data<Number>();
  const Number *mean = bn.mean.data<Number>(), *inv_std = bn.inv_std.data<Number>();
  const Number *dgamma = totals.dgamma, *dbeta = totals.dbeta;
  T* dx = bn.dx.data<T>();
  const double per_row = train ? 1.0 / static_cast<double>(totals.rows) : 0.0;
  simd_for(m.chunks(), [=](int64_t chunk) {
    for (int64_t first = 0; first < m.channels; first += kChannels) {
      const int64_t channels = std::min(kChannels, m.channels - first);
      // dx = scale * (g - mean_g - (x - mean) * slope)
      alignas(64) Number scale[kChannels], mean_g[kChannels], slope[kChannels];
      for (int64_t c = 0; c < channels; ++c) {
        const int64_t channel = first + c;
        scale[c] = gamma[channel] * inv_std[channel];
        mean_g[c] = static_cast<Number>(static_cast<double>(dbeta[channel]) * per_row);
        slope[c] = static_cast<Number>(static_cast<double>(dgamma[channel]) * per_row) * inv_std[channel];
      }
      for (int64_t row = 0; row < m.rows_of(chunk); ++row) {
        const int64_t at = m.offset(chunk) + row * m.channels + first;
#pragma GCC ivdep
        for (int64_t c = 0; c < channels; ++c) {
          const Number deviation = computed(x[at + c]) - mean[first + c];
          const Number grad = deviation * scale[c] + beta[first + c] <= floor ? Number{0} : computed(dy[at + c]);
          dx[at + c] = stored<T>(scale[c] * (grad - mean_g[c] - deviation * slope[c]));
        }
      }
    }
  });
}

}  // namespace

void batch_norm_batch_statistics(Context& ctx, const BatchNormOptions& options, const BatchNormStatistics& bn,
                                 Tensor& workspace) {
  dispatch_stored(bn.x.dtype, [&]<class T>() {
    using Number = Computed<T>;
    const Rows m(bn.x, bn.mean);
    MomentParts parts = bn.moments ? one_part(m, bn.moments) : moments(m, bn.x.data<T>(), sums_in(workspace));
    if (options.ranks) parts = exchange_moments(ctx, *options.ranks, parts, workspace);

    Number* means = bn.mean.data<Number>();
    Number* inv_stds = bn.inv_std.data<Number>();
    Number* past_mean = bn.running_mean ? bn.running_mean.data<Number>() : nullptr;
    Number* past_var = bn.running_var ? bn.running_var.data<Number>() : nullptr;
    const double rows = static_cast<double>(parts.rows), unbias = rows > 1 ? rows / (rows - 1) : 1.0;
    const auto blend = [momentum = options.momentum](Number& past, double now) {
      past = static_cast<Number>((1 - momentum) * static_cast<double>(past) + momentum * now);
    };
    simd_chunks(m.channels, kCombinedChannels, [=, eps = options.eps](int64_t begin, int64_t end) {
      double mean[kCombinedChannels], m2[kCombinedChannels];
      parts.combine(begin, end - begin, mean, m2);
      for (int64_t c = begin; c < end; ++c) {
        const double batch_mean = mean[c - begin], batch_var = m2[c - begin] / rows;  // biased
        means[c] = static_cast<Number>(batch_mean);
        inv_stds[c] = static_cast<Number>(1 / std::sqrt(batch_var + eps));
        if (past_mean) blend(past_mean[c], batch_mean);
        if (past_var) blend(past_var[c], batch_var * unbias);
      }
    });
  });
}

void batch_norm_running_statistics(Context&, const BatchNormOptions& options, const BatchNormStatistics& bn) {
  dispatch_float(bn.mean.dtype, [&]<class Number>() {
    for (int64_t c = 0; c < bn.mean.elements(); ++c) {
      const double variance = static_cast<double>(bn.running_var.data<Number>()[c]);
      bn.mean.data<Number>()[c] = bn.running_mean.data<Number>()[c];
      bn.inv_std.data<Number>()[c] = static_cast<Number>(1 / std::sqrt(variance + options.eps));
    }
  });
}

void batch_norm_normalise(Context&, const Normalisation& normalisation, const Tensor& x, Tensor& y) {
  dispatch_stored(x.dtype, [&]<class T>() { normalise<T>(normalisation, x, y); });
}

void batch_norm_backward(Context& ctx, const BatchNormOptions& options, bool train, const BatchNormBackwardOperands& bn,
                         Tensor& workspace) {
  dispatch_stored(bn.x.dtype, [&]<class T>() {
    using Number = Computed<T>;
    const Rows m(bn.x, bn.gamma);
    const MomentParts parts = bn.sums ? one_part(m, bn.sums) : gradient_sums<T>(m, options, bn, sums_in(workspace));
    Number* grad_gamma = bn.dgamma.data<Number>();
    Number* grad_beta = bn.dbeta.data<Number>();
    simd_chunks(m.channels, kCombinedChannels, [=, inv_stds = bn.inv_std.data<Number>()](int64_t begin, int64_t end) {
      double sum[kCombinedChannels] = {}, product[kCombinedChannels] = {};
      for (int64_t part = 0; part < parts.count; ++part) {
        const double* part_sum = parts.moments + part * 2 * m.channels + begin;
        const double* part_product = part_sum + m.channels;
        for (int64_t c = 0; c < end - begin; ++c) {
          sum[c] += part_sum[c];
          product[c] += part_product[c];
        }
      }
      for (int64_t c = begin; c < end; ++c) {
        grad_beta[c] = static_cast<Number>(sum[c - begin]);
        grad_gamma[c] = static_cast<Number>(product[c - begin] * static_cast<double>(inv_stds[c]));
      }
    });
    if (!bn.dx) return;
    const bool exchanged = train && options.ranks;
    input_gradient<T>(m, options, train, bn,
                      exchanged ? exchange_gradients<Number>(ctx, *options.ranks, m, bn, workspace)
                                : GradientTotals<Number>{grad_gamma, grad_beta, m.rows});
  });
}

}  // namespace poise::cpu
