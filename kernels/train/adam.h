// Adam over one slab, with the exponential moving average of the weights in the same pass:
//
//   m <- beta1 m + (1 - beta1) g;   v <- beta2 v + (1 - beta2) g^2
//   w <- w - lr * (m / (1 - beta1^t)) / ( sqrt(v / (1 - beta2^t)) + eps )
//   w <- 0 where the mask is 0                                              (unless mask is empty)
//   ema <- decay ema + (1 - decay) w                                        (unless ema is empty)
//
// t, lr and the powers of beta come from the StepState; begin_step advances them. All tensors [parameters], the mask
// u8 (see sparse/mask.h). The moments of dead weights follow their gradients like all others.
#pragma once
#include "kernels/core/context.h"

namespace poise {

struct AdamOptions {
  double beta1 = 0.0, beta2 = 0.9, eps = 1e-8;
};

// Opens a D or G step: step += 1; that network's clock: t += 1 and the powers of beta follow.
using BeginStep = void(Context&, Network, const AdamOptions&);
using Adam = void(Context&, Network, const AdamOptions&, double ema_decay, const Tensor& grad, const Tensor& mask,
                  Tensor& value, Tensor& m, Tensor& v, Tensor& ema);

namespace cpu {
BeginStep begin_step;
Adam adam;
}  // namespace cpu
}  // namespace poise
