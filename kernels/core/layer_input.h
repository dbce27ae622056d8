// What a layer reads: a tensor, or one that it normalises on the way in.
#pragma once
#include <array>

#include "kernels/core/error.h"
#include "kernels/core/tensor.h"

namespace poise {

// y = act( gamma * (x - mean) * inv_std + beta ), per channel, as kernels/dense/norm/batch_norm.h says. Empty: x itself.
struct Normalisation {
  Tensor gamma, beta, mean, inv_std;
  bool relu = false;

  explicit operator bool() const { return static_cast<bool>(mean); }
  auto tensors() const { return std::array{&gamma, &beta, &mean, &inv_std}; }
};

// What a layer reads: a tensor, or what a batch normalisation makes of it, which the layer computes while it reads, and
// also leaves in `written`, if that is not empty. It may be x.
struct LayerInput {
  Tensor x;
  Normalisation normalisation;
  Tensor written;
  LayerInput(const Tensor& tensor, const Normalisation& n = {}, const Tensor& to = {})
      : x(tensor), normalisation(n), written(to) {}

  auto tensors() const {
    const Normalisation& n = normalisation;
    return std::array{&x, &n.gamma, &n.beta, &n.mean, &n.inv_std, &written};
  }
};

// For kernels that compute no normalisation, which are asked for none.
inline const Tensor& read_directly(const LayerInput& in) {
  require(!in.normalisation, "the op writes what this kernel reads");
  return in.x;
}

}  // namespace poise
