#include "kernels/sparse/masks/balance.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/core/dispatch.h"

namespace poise::cpu {

void mean_logit(Context&, const Tensor& x, Tensor& y) {
  dispatch_float(x.dtype, [&]<class T>() {
    double sum = 0;
    for (int64_t i = 0; i < x.elements(); ++i) sum += static_cast<double>(x.data<T>()[i]);
    y.data<T>()[0] = static_cast<T>(sum / static_cast<double>(x.elements()));
  });
}

void push_balance(Context&, const Tensor& a_post, const Tensor& a_pre, const Tensor& r, Tensor& triples,
                  Tensor& pushed) {
  dispatch_float(a_post.dtype, [&]<class T>() {
    uint64_t& count = pushed.data<uint64_t>()[0];
    double* triple = triples.data<double>() + 3 * (count++ % static_cast<uint64_t>(triples.shape[0]));
    triple[0] = static_cast<double>(a_post.data<T>()[0]);
    triple[1] = static_cast<double>(a_pre.data<T>()[0]);
    triple[2] = static_cast<double>(r.data<T>()[0]);
  });
}

void summarise_balance(Context&, const Tensor& triples, const Tensor& pushed, Tensor& summary) {
  const auto capacity = static_cast<uint64_t>(triples.shape[0]);
  const uint64_t count = pushed.data<uint64_t>()[0], entries = std::min(count, capacity);
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  double latest = kNone, ratios = 0, gained = 0, gap = 0;
  uint64_t finite = 0, unusable = 0;
  for (uint64_t i = count - entries; i < count; ++i) {  // oldest first
    const double* triple = triples.data<double>() + 3 * (i % capacity);
    const double alpha = triple[0] - triple[1], beta = triple[2] - triple[1];
    latest = alpha / beta;
    unusable += beta > 0 && std::isfinite(beta) ? 0 : 1;
    if (std::isfinite(latest)) {
      ratios += latest;
      ++finite;
    }
    gained += alpha;
    gap += beta;
  }
  double* out = summary.data<double>();
  out[kLatestRatio] = latest;
  out[kMeanOfRatios] = finite > 0 ? ratios / static_cast<double>(finite) : kNone;
  out[kRatioOfSums] = gap > 0 ? gained / gap : kNone;
  out[kBalanceEntries] = static_cast<double>(entries);
  out[kBalanceUnusable] = static_cast<double>(unusable);
}

}  // namespace poise::cpu
