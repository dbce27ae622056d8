// What a layer writes, and sums of it for the batch normalisation that would have to read it again.
#pragma once
#include <array>

#include "kernels/core/layer_input.h"

namespace poise {

// A tensor [...,C]; and, if `moments` is not empty, f64 [2,C], the mean of each of its channels and the sum of squared
// deviations from it.
struct LayerOutput {
  Tensor y;
  Tensor moments;
  LayerOutput(const Tensor& tensor, const Tensor& of_channels = {}) : y(tensor), moments(of_channels) {}

  auto tensors() const { return std::array{&y, &moments}; }
};

// The gradient of what a layer reads; and, if `sums` is not empty, of what it reads `from` a batch normalisation, f64 [2,C]:
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

// For kernels that take no sums, which are asked for none.
constexpr const char* kTakesNoSums = "this kernel takes no sums of what it writes";  // if they are
inline Tensor written_alone(const LayerOutput& out) {
  require(!out.moments, kTakesNoSums);
  return out.y;
}
inline Tensor written_alone(const InputGradient& out) {
  require(!out.sums, kTakesNoSums);
  return out.dx;
}

}  // namespace poise
