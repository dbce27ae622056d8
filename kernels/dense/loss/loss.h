// GAN losses on raw logits. D sees one batch, real images first: r are logits[0 .. n_real), f the rest.
//
//              L_D                                            L_G (all logits are of fakes)
//   hinge        mean relu(1 - r) + mean relu(1 + f)            -mean f
//   bce          mean softplus(-r) + mean softplus(f)            mean softplus(-f)      (non-saturating)
//   wasserstein  mean f - mean r                                -mean f
//
// logits [N,1]; loss [1]; dloss [1]; dlogits [N,1].
#pragma once
#include "kernels/core/context.h"

namespace poise {

enum class GanLoss : uint8_t { hinge, bce, wasserstein };

// means [2] receives mean r and mean f, from which the log and the balance ratio are computed.
using GanLossDForward = void(Context&, GanLoss, int64_t n_real, const Tensor& logits, Tensor& means, Tensor& loss);
using GanLossDBackward = void(Context&, GanLoss, int64_t n_real, const Tensor& logits, const Tensor& dloss,
                              Tensor& dlogits);
using GanLossGForward = void(Context&, GanLoss, const Tensor& logits, Tensor& loss);
using GanLossGBackward = void(Context&, GanLoss, const Tensor& logits, const Tensor& dloss, Tensor& dlogits);

}  // namespace poise
