// Adam over one slab, with the exponential moving average of the weights in the same pass:
//
//   m <- beta1 m + (1 - beta1) g;   v <- beta2 v + (1 - beta2) g^2
//   w <- w - lr * (m / (1 - beta1^t)) / ( sqrt(v / (1 - beta2^t)) + eps )
//   w <- 0 where the mask is 0                                              (unless mask is empty)
//   ema <- decay ema + (1 - decay) w                                        (unless ema is empty)
//
// t, lr and the powers of beta come from the StepState; begin_step advances them. lr and decay may follow a schedule
// that is a function of t alone, so captured steps stay valid and a resumed run needs no further state. All tensors are
// [parameters], except that the mask is u8 [parameters / run], run = 1, 2, 4, 8 or 16 (sparse/masks/mask.h). The
// moments of dead weights follow their gradients like all others, or, without `dead_moments`, may stay as they are.
#pragma once
#include "kernels/core/context.h"
#include "kernels/core/host_device.h"

namespace poise {

// Counted in updates of one network's clock. Update t = 1, 2, ... uses
//   lr * clamp((decay_end - s) / (decay_end - decay_begin), 0, 1),  s = t - 1 updates taken before it;  decay_end 0: lr
//   decay, but 0 while t <= ema_start: until then the average is a copy of the weights
struct UpdateSchedule {
  uint64_t decay_begin = 0, decay_end = 0;
  uint64_t ema_start = 0;
};

struct AdamOptions {
  double beta1 = 0.0, beta2 = 0.9, eps = 1e-8;
  UpdateSchedule schedule;
  bool dead_moments = true;
};

POISE_HOST_DEVICE constexpr double scheduled_rate(const UpdateSchedule& schedule, const OptimizerClock& clock) {
  const uint64_t begin = schedule.decay_begin, end = schedule.decay_end, taken = clock.t - 1;
  if (end == 0 || taken <= begin) return clock.learning_rate;
  if (taken >= end) return 0;
  return clock.learning_rate * (static_cast<double>(end - taken) / static_cast<double>(end - begin));
}
POISE_HOST_DEVICE constexpr bool average_is_copy(const UpdateSchedule& schedule, const OptimizerClock& clock) {
  return clock.t <= schedule.ema_start;
}

// Opens a D or G step: step += 1, and in that network's clock t += 1 and the powers of beta are updated.
using BeginStep = void(Context&, Network, const AdamOptions&);
struct AdamOperands {
  Tensor grad, mask;        // read. mask may be empty
  Tensor value, m, v, ema;  // updated. ema may be empty
};
using Adam = void(Context&, Network, const AdamOptions&, double ema_decay, const AdamOperands&);

}  // namespace poise
