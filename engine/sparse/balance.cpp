#include "engine/sparse/balance.h"

#include "kernels/table.h"

namespace poise {

void BalanceQueue::push(Context& ctx, const Tensor& a_post, const Tensor& a_pre, const Tensor& r) {
  ctx.kernels->push_balance(ctx, a_post, a_pre, r, triples_.tensor(), pushed_.tensor());
}

BalanceReadings BalanceQueue::read(Context& ctx) const {
  Tensor summary = summary_.tensor();
  ctx.kernels->summarise_balance(ctx, triples_.tensor(), pushed_.tensor(), summary);
  double s[kBalanceSummary];
  copy_to_host(s, summary);
  return {.latest = s[kLatestRatio],
          .mean_of_ratios = s[kMeanOfRatios],
          .ratio_of_sums = s[kRatioOfSums],
          .entries = static_cast<int64_t>(s[kBalanceEntries]),
          .unusable = static_cast<int64_t>(s[kBalanceUnusable])};
}

}  // namespace poise
