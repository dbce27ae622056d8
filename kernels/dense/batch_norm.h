// Batch normalisation over all but the last dimension, with an optional ReLU behind it:
//
//   y = act( gamma * (x - mean) * inv_std + beta ),   inv_std = 1 / sqrt(var + eps),   act = ReLU or identity
//
// x, y [N,H,W,C] (or [N,C]); gamma, beta, mean, inv_std, running_* [C]. The variance that normalises is the biased one;
// the running variance keeps the unbiased one, as PyTorch does.
#pragma once
#include "kernels/core/context.h"

namespace poise {

struct BatchNormOptions {
  double eps = 1e-5;
  double momentum = 0.1;  // running <- (1 - momentum) * running + momentum * batch
  bool relu = false;
};

// Statistics of this batch. mean and inv_std are results, kept for the backward pass. Empty running tensors: no update.
using BatchNormForwardTrain = void(Context&, const BatchNormOptions&, const Tensor& x, const Tensor& gamma,
                                   const Tensor& beta, Tensor& running_mean, Tensor& running_var, Tensor& mean,
                                   Tensor& inv_std, Tensor& y);
// Statistics of the past.
using BatchNormForwardEval = void(Context&, const BatchNormOptions&, const Tensor& x, const Tensor& gamma,
                                  const Tensor& beta, const Tensor& running_mean, const Tensor& running_var,
                                  Tensor& mean, Tensor& inv_std, Tensor& y);
// With g = dy where act passes, else 0;  xhat = (x - mean) * inv_std;  M = rows:
//   dbeta = sum g;  dgamma = sum g * xhat
//   dx = gamma * inv_std * (g - dbeta / M - xhat * dgamma / M)     statistics of this batch (train)
//   dx = gamma * inv_std * g                                       statistics of the past   (not train)
// An empty dx is not wanted.
using BatchNormBackward = void(Context&, const BatchNormOptions&, bool train, const Tensor& x, const Tensor& y,
                               const Tensor& gamma, const Tensor& mean, const Tensor& inv_std, const Tensor& dy,
                               Tensor& dx, Tensor& dgamma, Tensor& dbeta);

namespace cpu {
BatchNormForwardTrain batch_norm_forward_train;
BatchNormForwardEval batch_norm_forward_eval;
BatchNormBackward batch_norm_backward;
}  // namespace cpu
}  // namespace poise
