// Batch normalisation over all but the last dimension, with an optional ReLU after it:
//
//   y = act( gamma * (x - mean) * inv_std + beta ),   inv_std = 1 / sqrt(var + eps),   act = ReLU or identity
//
// x, y [N,H,W,C] (or [N,C]); gamma, beta, mean, inv_std, running_* [C]. The variance that normalises is the biased one;
// the running variance keeps the unbiased one, as PyTorch does. x, y and their gradients may be bf16; the
// others are f32 all the same.
//
// The statistics and what is made of them are computed by kernels of their own: whoever reads y may compute it while
// reading x instead (LayerInput), and y is never written.
#pragma once
#include <array>

#include "kernels/core/context.h"
#include "kernels/core/integer.h"
#include "kernels/core/layer_input.h"

namespace poise {

class Ranks;  // kernels/ranks/ranks.h

struct BatchNormOptions {
  double eps = 1e-5;
  double momentum = 0.1;  // running <- (1 - momentum) * running + momentum * batch
  bool relu = false;
  // The statistics, and the sums of the backward pass that dx needs, are over the rows of all ranks, which have as many
  // each; dgamma and dbeta stay those of this rank's rows. Null: this process alone.
  Ranks* ranks = nullptr;
};

// Rows are summed in chunks of this many, and the chunks' sums in order: the result does not depend on who computes it.
constexpr int64_t kBatchNormChunkRows = 128;
// Bytes of `workspace` in the kernels below: two sums in double per chunk and channel; and with several ranks, behind
// them, as many of this rank, of each rank, and of all together.
inline size_t batch_norm_workspace(int64_t rows, int64_t channels, int64_t ranks = 1) {
  const int64_t chunks = ceil_div(rows, kBatchNormChunkRows), exchanged = ranks > 1 ? ranks + 2 : 0;
  return static_cast<size_t>((chunks + exchanged) * channels * 2) * sizeof(double);
}
// A part of the workspace: two numbers per channel, of each of `ranks`, starting behind the chunks and `first` such parts.
inline Tensor batch_norm_exchange(const Tensor& workspace, int64_t rows, int64_t channels, int64_t first, int64_t ranks,
                                  DType dtype) {
  const int64_t part = 2 * channels;
  const size_t offset = batch_norm_workspace(rows, channels) + static_cast<size_t>(first * part) * size_of(dtype);
  return {.bytes = static_cast<char*>(workspace.bytes) + offset,
          .shape = {ranks * part},
          .dtype = dtype,
          .device = workspace.device};
}

struct BatchNormStatistics {
  Tensor x;                          // not read for the running statistics
  Tensor moments;                    // of x, as its op left them (LayerOutput), so that x is not read; or empty
  Tensor running_mean, running_var;  // of this batch: updated, or empty; else read
  Tensor mean, inv_std;              // results

  auto tensors() const { return std::array{&x, &moments, &running_mean, &running_var, &mean, &inv_std}; }
};
// Of this batch.
using BatchNormBatchStatistics = void(Context&, const BatchNormOptions&, const BatchNormStatistics&, Tensor& workspace);
// The running ones.
using BatchNormRunningStatistics = void(Context&, const BatchNormOptions&, const BatchNormStatistics&);

// y may be x.
using BatchNormNormalise = void(Context&, const Normalisation&, const Tensor& x, Tensor& y);

// With g = dy where act passes, else 0;  xhat = (x - mean) * inv_std;  M = rows:
//   dbeta = sum g;  dgamma = sum g * xhat
//   dx = gamma * inv_std * (g - dbeta / M - xhat * dgamma / M)     statistics of this batch (train)
//   dx = gamma * inv_std * g                                       running statistics       (not train)
// Where act passes is computed again from x and beta, to the bit as in the forward pass: the kernel is bound by memory,
// and reading y would add two of seven streams.
struct BatchNormBackwardOperands {
  Tensor x, gamma, beta, mean, inv_std, dy;
  Tensor sums;               // of dy, as its op left them (InputGradient); or empty
  Tensor dx, dgamma, dbeta;  // results. An empty dx is not wanted; it may be dy

  auto tensors() const { return std::array{&x, &gamma, &beta, &mean, &inv_std, &dy, &sums, &dx, &dgamma, &dbeta}; }
};
using BatchNormBackward = void(Context&, const BatchNormOptions&, bool train, const BatchNormBackwardOperands&,
                               Tensor& workspace);

}  // namespace poise
