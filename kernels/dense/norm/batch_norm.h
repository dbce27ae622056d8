// Batch normalisation over all but the last dimension, with an optional ReLU after it:
//
//   y = act( gamma * (x - mean) * inv_std + beta ),   inv_std = 1 / sqrt(var + eps),   act = ReLU or identity
//
// x, y [N,H,W,C] (or [N,C]); gamma, beta, mean, inv_std, running_* [C]. x is normalised with the biased variance;
// running_var keeps the unbiased one, as in PyTorch. x, y and their gradients may be bf16; all others are then f32.
//
// Separate kernels compute the statistics and normalise x: an op that reads y may instead normalise x while reading it
// (LayerInput), and then y need not be written.
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
  // If set, the statistics and the sums that dx needs in the backward pass cover the rows of all ranks, which have the
  // same number each; dgamma and dbeta still cover only this rank's rows. Null: this process alone.
  Ranks* ranks = nullptr;
};

// Rows are summed in chunks of this size, and the chunk sums in order, so the result does not depend on the threads.
constexpr int64_t kBatchNormChunkRows = 128;
// Bytes of `workspace` for the kernels below: two sums in double per chunk and channel. With several ranks, two more
// per channel follow for this rank, for each rank, and for the total.
inline size_t batch_norm_workspace(int64_t rows, int64_t channels, int64_t ranks = 1) {
  const int64_t chunks = ceil_div(rows, kBatchNormChunkRows), exchanged = ranks > 1 ? ranks + 2 : 0;
  return static_cast<size_t>((chunks + exchanged) * channels * 2) * sizeof(double);
}
// A part of the workspace: two numbers per channel for each of `ranks`, after the chunks and `first` ranks' parts.
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
  Tensor moments;                    // of x, from the op that wrote it (LayerOutput), so that x is not read; or empty
  Tensor running_mean, running_var;  // batch statistics: updated, or empty; running statistics: read
  Tensor mean, inv_std;              // results

  auto tensors() const { return std::array{&x, &moments, &running_mean, &running_var, &mean, &inv_std}; }
};
// Computes the statistics of this batch.
using BatchNormBatchStatistics = void(Context&, const BatchNormOptions&, const BatchNormStatistics&, Tensor& workspace);
// Computes mean and inv_std from the running statistics.
using BatchNormRunningStatistics = void(Context&, const BatchNormOptions&, const BatchNormStatistics&);

// y may be x.
using BatchNormNormalise = void(Context&, const Normalisation&, const Tensor& x, Tensor& y);

// With g = dy where act passes, else 0;  xhat = (x - mean) * inv_std;  M = rows:
//   dbeta = sum g;  dgamma = sum g * xhat
//   dx = gamma * inv_std * (g - dbeta / M - xhat * dgamma / M)     statistics of this batch (train)
//   dx = gamma * inv_std * g                                       running statistics       (not train)
// The backward pass recomputes where act passes from x and beta, bit for bit as in the forward pass: the kernel is
// bound by memory, and reading y would make it seven streams instead of five.
struct BatchNormBackwardOperands {
  Tensor x, gamma, beta, mean, inv_std, dy;
  Tensor sums;               // of dy, if the op that wrote dy computed them (InputGradient); or empty
  Tensor dx, dgamma, dbeta;  // results. dx may be empty if it is not needed, and it may be dy

  auto tensors() const { return std::array{&x, &gamma, &beta, &mean, &inv_std, &dy, &sums, &dx, &dgamma, &dbeta}; }
};
using BatchNormBackward = void(Context&, const BatchNormOptions&, bool train, const BatchNormBackwardOperands&,
                               Tensor& workspace);

}  // namespace poise
