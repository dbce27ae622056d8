// Batch normalisation over all but the last dimension, with an optional ReLU behind it:
//
//   y = act( gamma * (x - mean) * inv_std + beta ),   inv_std = 1 / sqrt(var + eps),   act = ReLU or identity
//
// x, y [N,H,W,C] (or [N,C]); gamma, beta, mean, inv_std, running_* [C]. The variance that normalises is the biased one;
// the running variance keeps the unbiased one, as PyTorch does. On a GPU x, y and their gradients may be bf16; the
// others are f32 all the same.
#pragma once
#include "kernels/core/context.h"

namespace poise {

struct BatchNormOptions {
  double eps = 1e-5;
  double momentum = 0.1;  // running <- (1 - momentum) * running + momentum * batch
  bool relu = false;
};

// Rows are summed in chunks of this many, and the chunks' sums in order: the result does not depend on who computes it.
constexpr int64_t kBatchNormChunkRows = 128;
// Bytes of `workspace` in the kernels below: two sums in double per chunk and channel.
inline size_t batch_norm_workspace(int64_t rows, int64_t channels) {
  const int64_t chunks = (rows + kBatchNormChunkRows - 1) / kBatchNormChunkRows;
  return static_cast<size_t>(chunks * channels * 2) * sizeof(double);
}

// Statistics of this batch. mean and inv_std are results, kept for the backward pass. Empty running tensors: no update.
using BatchNormForwardTrain = void(Context&, const BatchNormOptions&, const Tensor& x, const Tensor& gamma,
                                   const Tensor& beta, Tensor& running_mean, Tensor& running_var, Tensor& workspace,
                                   Tensor& mean, Tensor& inv_std, Tensor& y);
// Statistics of the past.
using BatchNormForwardEval = void(Context&, const BatchNormOptions&, const Tensor& x, const Tensor& gamma,
                                  const Tensor& beta, const Tensor& running_mean, const Tensor& running_var,
                                  Tensor& mean, Tensor& inv_std, Tensor& y);
// With g = dy where act passes, else 0;  xhat = (x - mean) * inv_std;  M = rows:
//   dbeta = sum g;  dgamma = sum g * xhat
//   dx = gamma * inv_std * (g - dbeta / M - xhat * dgamma / M)     statistics of this batch (train)
//   dx = gamma * inv_std * g                                       statistics of the past   (not train)
// Where act passes is computed again from x and beta, to the bit as in the forward pass: the kernel is bound by memory,
// and reading y would add two of seven streams. An empty dx is not wanted; dx may be dy.
using BatchNormBackward = void(Context&, const BatchNormOptions&, bool train, const Tensor& x, const Tensor& gamma,
                               const Tensor& beta, const Tensor& mean, const Tensor& inv_std, const Tensor& dy,
                               Tensor& workspace, Tensor& dx, Tensor& dgamma, Tensor& dbeta);

}  // namespace poise
