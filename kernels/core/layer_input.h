// The input of a layer: a tensor, optionally normalised as it is read.
#pragma once
#include <array>

#include "kernels/core/error.h"
#include "kernels/core/tensor.h"

namespace poise {

// y = act( gamma * (x - mean) * inv_std + beta ), per channel (kernels/dense/norm/batch_norm.h). If empty, y is x.
struct Normalisation {
  Tensor gamma, beta, mean, inv_std;
  bool relu = false;

  explicit operator bool() const { return static_cast<bool>(mean); }
  auto tensors() const { return std::array{&gamma, &beta, &mean, &inv_std}; }
};

// The input of a layer: x or, if `normalisation` is not empty, the normalised x. The layer computes the latter as it
// reads x and, if `written` is not empty, also stores it there. `written` may be x.
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

// For kernels that cannot normalise their input. Callers must not request it.
inline const Tensor& read_directly(const LayerInput& in) {
  require(!in.normalisation, "the op writes what this kernel reads");
  return in.x;
}

}  // namespace poise
