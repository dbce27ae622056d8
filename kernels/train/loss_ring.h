// The losses of each iteration, kept on the device. The host reads them back lazily, every N iterations, so no step
// waits for them.
//
//   ring[(t - 1) % rows] <- (sums / n_critic, loss_g);   sums <- 0            t = updates of G so far (StepState)
//
// sums [3]: loss, mean logit of real and of fake images, added up over the D steps. loss_g [1]. ring [rows,4]. All f32.
#pragma once
#include "kernels/core/context.h"

namespace poise {

using RecordLosses = void(Context&, int64_t n_critic, const Tensor& loss_g, Tensor& sums, Tensor& ring);

}  // namespace poise
