// The output of a layer, and sums over it that save the next batch normalisation from reading it again.
#pragma once
#include <array>

#include "kernels/core/layer_input.h"

namespace poise {

// A tensor [...,C]. If `moments` is not empty, it receives for each channel the mean and the sum of squared deviations
// from it, f64 [2,C].
struct LayerOutput {
  Tensor y;
  Tensor moments;
  LayerOutput(const Tensor& tensor, const Tensor& of_channels = {}) : y(tensor), moments(of_channels) {}

  auto tensors() const { return std::array{&y, &moments}; }
};

// The gradient of a layer's input. If that is batch-normalised (`from`), non-empty `sums` receive, f64 [2,C]:
//
//   sum g,  sum g (from.x - mean),   g = dx where the normalisation's activation passes, else 0
struct InputGradient {
  Tensor dx;
  LayerInput from;
  Tensor sums;
  InputGradient(const Tensor& tensor, const LayerInput& normalised = Tensor{}, const Tensor& of_channels = {})
      : dx(tensor), from(normalised), sums(of_channels) {}

  auto tensors() const {
    const Normalisation& n = from.normalisation;
    return std::array{&dx, &from.x, &n.gamma, &n.beta, &n.mean, &n.inv_std, &sums};
  }
};

// For kernels that do not compute these sums; callers must not request them.
constexpr const char* kTakesNoSums = "this kernel takes no sums of what it writes";  // the error if they do
inline Tensor written_alone(const LayerOutput& out) {
  require(!out.moments, kTakesNoSums);
  return out.y;
}
inline Tensor written_alone(const InputGradient& out) {
  require(!out.sums, kTakesNoSums);
  return out.dx;
}

}  // namespace poise
