// The balance ratio's queue. Every kernel is a single thread, because sums are in a fixed order and there is little to
// add. A mean of 128 logits waits for about 128 additions in double, 3 us; a summary of 1,000 triples, requested
// outside of steps, for about 3,000 additions and 1,000 divisions, 0.1 ms. Predicted; not yet measured on a GPU.
#include "kernels/sparse/masks/balance.h"

#include <limits>

#include "kernels/gpu/gpu.h"

namespace poise::POISE_GPU {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

constexpr LaunchShape one_thread() { return {.grid = 1, .block = 1}; }

__global__ void mean_logit_kernel(int64_t n, const float* x, float* y) {
  double sum = 0;
#pragma unroll 16
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]);
  *y = static_cast<float>(sum / static_cast<double>(n));
}

__global__ void push_balance_kernel(uint64_t capacity, const float* a_post, const float* a_pre, const float* r,
                                    double* triples, uint64_t* pushed) {
  const uint64_t count = *pushed;
  double* triple = triples + 3 * (count % capacity);
  triple[0] = static_cast<double>(*a_post);
  triple[1] = static_cast<double>(*a_pre);
  triple[2] = static_cast<double>(*r);
  *pushed = count + 1;
}

__global__ void summarise_balance_kernel(uint64_t capacity, const double* triples, const uint64_t* pushed,
                                         double* summary) {
  const uint64_t count = *pushed, entries = count < capacity ? count : capacity;
  double latest = kNone, ratios = 0, gained = 0, gap = 0;
  uint64_t finite = 0, unusable = 0;
  for (uint64_t i = count - entries; i < count; ++i) {  // oldest first
    const double* triple = triples + 3 * (i % capacity);
    const double alpha = triple[0] - triple[1], beta = triple[2] - triple[1];
    latest = alpha / beta;
    unusable += beta > 0 && isfinite(beta) ? 0 : 1;
    if (isfinite(latest)) {
      ratios += latest;
      ++finite;
    }
    gained += alpha;
    gap += beta;
  }
  summary[kLatestRatio] = latest;
  summary[kMeanOfRatios] = finite > 0 ? ratios / static_cast<double>(finite) : kNone;
  summary[kRatioOfSums] = gap > 0 ? gained / gap : kNone;
  summary[kBalanceEntries] = static_cast<double>(entries);
  summary[kBalanceUnusable] = static_cast<double>(unusable);
}

}  // namespace

void mean_logit(Context& ctx, const Tensor& x, Tensor& y) {
  launch(ctx, one_thread(), mean_logit_kernel, x.elements(), x.data<float>(), y.data<float>());
}

void push_balance(Context& ctx, const Tensor& a_post, const Tensor& a_pre, const Tensor& r, Tensor& triples,
                  Tensor& pushed) {
  launch(ctx, one_thread(), push_balance_kernel, triples.shape[0], a_post.data<float>(), a_pre.data<float>(),
         r.data<float>(), triples.data<double>(), pushed.data<uint64_t>());
}

void summarise_balance(Context& ctx, const Tensor& triples, const Tensor& pushed, Tensor& summary) {
  launch(ctx, one_thread(), summarise_balance_kernel, triples.shape[0], triples.data<double>(), pushed.data<uint64_t>(),
         summary.data<double>());
}

}  // namespace poise::POISE_GPU
