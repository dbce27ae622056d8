// Spectral normalisation (Miyato et al. 2018): the weight, read as a matrix W [out, rest], over an estimate of its
// largest singular value, by one power iteration per training forward pass from persistent vectors:
//
//   v <- W^T u / max(|W^T u|, eps);   u <- W v / max(|W v|, eps)        (only when `iterate`)
//   sigma = u^T W v;   y = W / sigma
//   dW = ( dy - <dy, y> u v^T ) / sigma                                 (u and v are constants of the step)
//
// Where |W^T u| is not above eps, v starts anew as the vector of equal elements and length 1: a mask that kills every
// row that u has learned about would otherwise leave sigma at 0 for ever.
//
// weight, y [out,...]; u [out], v [rest], sigma [1]. u_used and v_used receive the vectors of this pass: a later
// forward pass in the same step moves u and v, and the backward pass needs its own.
#pragma once
#include "kernels/core/context.h"

namespace poise {

using SpectralNormForward = void(Context&, double eps, bool iterate, const Tensor& weight, Tensor& u, Tensor& v,
                                 Tensor& u_used, Tensor& v_used, Tensor& sigma, Tensor& y);
using SpectralNormBackward = void(Context&, const Tensor& y, const Tensor& u_used, const Tensor& v_used,
                                  const Tensor& sigma, const Tensor& dy, Tensor& dweight);

namespace cpu {
SpectralNormForward spectral_norm_forward;
SpectralNormBackward spectral_norm_backward;
}  // namespace cpu
}  // namespace poise
