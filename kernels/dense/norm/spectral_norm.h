// Spectral normalisation (Miyato et al. 2018): the weight, read as a matrix W [out, rest], divided by an estimate of
// its largest singular value, from one power iteration per training forward pass on persistent vectors:
//
//   v <- W^T u / max(|W^T u|, eps);   u <- W v / max(|W v|, eps)        (only when `iterate`)
//   sigma = u^T W v;   y = W / sigma
//   dW = ( dy - <dy, y> u v^T ) / sigma                                 (u and v are constants of the step)
//
// Where |W^T u| is not above eps, v restarts as the unit vector with equal elements: otherwise a mask that kills every
// row that u has learned about would leave sigma at 0 for ever.
//
// If the weight has a mask whose runs are kLongestRun weights (kernels/sparse/masks/mask.h), kernels may leave dead
// runs, which hold zeros, out of all sums and set their gradients to zero instead of computing them.
//
// weight, y [out,...]; u [out], v [rest], sigma [1]. u_used and v_used receive the vectors of this pass: a later
// forward pass in the same step moves u and v, and the backward pass needs its own.
#pragma once
#include <array>
#include <span>

#include "kernels/core/context.h"
#include "kernels/core/memory.h"

namespace poise {

struct SpectralNormLayer {
  double eps = 1e-12;
  Tensor weight, u, v;
  Tensor mask;                      // u8 [weights / run], or empty: no mask
  Tensor u_used, v_used, sigma, y;  // results
  Tensor narrow;                    // y in bf16, or empty: not needed

  auto tensors() const { return std::array{&weight, &u, &v, &mask, &u_used, &v_used, &sigma, &y, &narrow}; }
};

// Bytes of `workspace`: W^T u and W v of every layer before they are scaled, each starting on its own cache line.
inline size_t spectral_norm_workspace(std::span<const SpectralNormLayer> layers) {
  size_t bytes = 0;
  for (const SpectralNormLayer& l : layers) bytes += align_up(l.u.size_bytes()) + align_up(l.v.size_bytes());
  return bytes;
}

// The operands of one layer's backward pass.
struct SpectralNormGradient {
  Tensor y, u_used, v_used, sigma, dy;
  Tensor mask;     // u8 [weights / run], or empty: gradients of dead weights are needed, or there is no mask
  Tensor dweight;  // result

  auto tensors() const { return std::array{&y, &u_used, &v_used, &sigma, &dy, &mask, &dweight}; }
};

// Bytes of `workspace`: partial sums of <dy, y> for each of `layers`.
constexpr int64_t kSpectralNormPartialSums = 64;
constexpr size_t spectral_norm_backward_workspace(size_t layers) {
  return layers * align_up(kSpectralNormPartialSums * sizeof(float));
}

// One call handles all weights of a network, because a single one is too little work for a GPU.
using SpectralNormForward = void(Context&, bool iterate, std::span<const SpectralNormLayer> layers, Tensor& workspace);
using SpectralNormBackward = void(Context&, std::span<const SpectralNormGradient> layers, Tensor& workspace);

}  // namespace poise
