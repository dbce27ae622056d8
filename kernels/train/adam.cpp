// Adam on the CPU. The bias corrections are computed once, in double, and folded into two factors:
//   w <- w - rate * m / ( sqrt(v) * root + eps ),   rate = lr / (1 - beta1^t),   root = 1 / sqrt(1 - beta2^t)
#include "kernels/train/adam.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "kernels/core/dispatch.h"
#include "kernels/core/simd.h"
#include "kernels/sparse/masks/mask.h"

namespace poise::cpu {

void begin_step(Context& ctx, Network network, const AdamOptions& options) {
  ctx.step->step += 1;
  OptimizerClock& clock = ctx.step->clocks[static_cast<size_t>(network)];
  clock.t += 1;
  clock.beta1_power *= options.beta1;
  clock.beta2_power *= options.beta2;
}

namespace {

// Is any element of these runs not zero?
template <class T, class... More>
bool any(const T* x, const More*... more) {
  using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  Bits bits = 0;  // -0 counts as non-zero, which only costs an update
#pragma GCC unroll 16
  for (int64_t i = 0; i < kLongestRun; ++i) bits |= std::bit_cast<Bits>(x[i]) | (std::bit_cast<Bits>(more[i]) | ...);
  return bits != 0;
}

// Zeroes the dead weights of w[begin .. end-1], which are whole runs.
template <class T>
void zero_dead(int64_t run, const uint8_t* alive, T* w, int64_t begin, int64_t end) {
  if (run == 1) {
#pragma GCC ivdep
    for (int64_t i = begin; i < end; ++i) w[i] = alive[i] ? w[i] : T{0};
    return;
  }
  for (int64_t i = begin; i < end; i += run) {
    if (!alive[i / run]) std::fill_n(w + i, run, T{0});
  }
}

}  // namespace

void adam(Context& ctx, Network network, const AdamOptions& options, double ema_decay, const AdamOperands& slab) {
  constexpr int64_t kAdamGrain = 4096;  // a chunk's weights are still in the cache when the average reads them
  dispatch_float(slab.value.dtype, [&]<class T>() {
    const OptimizerClock clock = ctx.step->clocks[static_cast<size_t>(network)];
    const T rate = static_cast<T>(scheduled_rate(options.schedule, clock) / (1 - clock.beta1_power));
    const T root = static_cast<T>(1 / std::sqrt(1 - clock.beta2_power));
    const T beta1 = static_cast<T>(options.beta1), one_minus_beta1 = static_cast<T>(1 - options.beta1);
    const T beta2 = static_cast<T>(options.beta2), one_minus_beta2 = static_cast<T>(1 - options.beta2);
    const T eps = static_cast<T>(options.eps);
    const double kept = average_is_copy(options.schedule, clock) ? 0 : ema_decay;
    const T decay = static_cast<T>(kept), one_minus_decay = static_cast<T>(1 - kept);
    const T* g = slab.grad.data<T>();
    T* w = slab.value.data<T>();
    T* first = slab.m.data<T>();
    T* second = slab.v.data<T>();
    const uint8_t* alive = slab.mask ? slab.mask.data<uint8_t>() : nullptr;
    const int64_t run = slab.mask ? run_of(slab.mask, slab.value) : 1;
    T* average = slab.ema ? slab.ema.data<T>() : nullptr;
    const auto update = [=](int64_t begin, int64_t end) {
#pragma GCC ivdep
      for (int64_t i = begin; i < end; ++i) {
        first[i] = beta1 * first[i] + one_minus_beta1 * g[i];
        second[i] = beta2 * second[i] + one_minus_beta2 * (g[i] * g[i]);
        w[i] -= rate * first[i] / (std::sqrt(second[i]) * root + eps);
      }
      if (alive) zero_dead(run, alive, w, begin, end);
      if (!average) return;
#pragma GCC ivdep
      for (int64_t i = begin; i < end; ++i) average[i] = decay * average[i] + one_minus_decay * w[i];
    };
    if (run != kLongestRun) return simd_chunks(slab.value.elements(), kAdamGrain, update);
    // Dead weights hold zeros (mask.h). A dead run needs no update if its moments are not needed, or if both they and
    // its gradient are zero.
    const bool asks = options.dead_moments;
    simd_chunks(slab.value.elements(), kAdamGrain, [=](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i += kLongestRun) {
        if (alive[i / kLongestRun] || (asks && any(g + i, first + i, second + i))) update(i, i + kLongestRun);
      }
    });
  });
}

}  // namespace poise::cpu
