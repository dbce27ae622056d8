// The balance ratio of "Balanced Training for Sparse GANs" (NeurIPS 2023): how much of the gap that D sees between fake
// and real images one generator step closes.
//
//   BR = (a_post - a_pre) / (r - a_pre)
//   a_pre, a_post: mean logit of D on G(z) before and after the G step, same z;  r: mean logit on a real minibatch
//
// Measurements go through a queue on the device, so that no step waits for the host. It keeps the newest `capacity`
// triples and offers two readings: the mean of the ratios (the paper's), and the ratio of the sums, which a denominator
// close to zero cannot blow up.
#pragma once
#include "kernels/core/context.h"

namespace poise {

// y[0] = mean of x, summed in double in the order of its elements.   x [any], y [1] of the same type.
using MeanLogit = void(Context&, const Tensor& x, Tensor& y);
// triples f64 [capacity, 3] {a_post, a_pre, r}, the oldest is overwritten first; pushed u64 [1]: number pushed so far.
using PushBalance = void(Context&, const Tensor& a_post, const Tensor& a_pre, const Tensor& r, Tensor& triples,
                         Tensor& pushed);

// Entries of `summary`, f64 [kBalanceSummary]. A reading that does not exist is NaN.
enum BalanceReading : int {
  kLatestRatio,      // of the newest triple
  kMeanOfRatios,     // over the triples whose ratio is finite
  kRatioOfSums,      // sum(a_post - a_pre) / sum(r - a_pre); NaN unless the denominator is above zero
  kBalanceEntries,   // triples in the queue
  kBalanceUnusable,  // triples in the queue with r - a_pre not above zero (or not finite)
  kBalanceSummary,
};
using SummariseBalance = void(Context&, const Tensor& triples, const Tensor& pushed, Tensor& summary);

}  // namespace poise
