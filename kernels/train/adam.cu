// Adam and the moving average over one slab in one launch: one thread per 16 bytes of parameters, as on the CPU with
// the bias corrections folded into two factors:
//   w <- w - rate * m / ( sqrt(v) * root + eps ),   rate = lr / (1 - beta1^t),   root = 1 / sqrt(1 - beta2^t)
// Bytes: 9 floats per parameter with the average (7 without) and, under a mask, 1 byte per run; about 15 FLOPs: bound
// by memory. G of SNGAN-32 at full width (4.28 M parameters) 154 MB, 36 us at 4.3 TB/s; D (1.05 M) without the average
// 29 MB, 7 us. Predicted; not yet measured on a GPU.
#include "kernels/train/adam.h"

#include <bit>

#include "kernels/gpu/elementwise.cuh"
#include "kernels/sparse/masks/mask.h"

namespace poise::POISE_GPU {
namespace {

__global__ void begin_step_kernel(Network network, AdamOptions options, StepState* step) {
  step->step += 1;
  OptimizerClock& clock = step->clocks[static_cast<size_t>(network)];
  clock.t += 1;
  clock.beta1_power *= options.beta1;
  clock.beta2_power *= options.beta2;
}

struct AdamConstants {
  float beta1, one_minus_beta1, beta2, one_minus_beta2, eps, decay, one_minus_decay;
};

template <int N>
__global__ void adam_kernel(AdamConstants c, UpdateSchedule schedule, const OptimizerClock* clock, int64_t n,
                            const float* grad, const uint8_t* mask, int run_bits, float* value, float* m, float* v,
                            float* ema) {
  // In double, so that 1 - beta^t keeps its digits while t is small.
  const auto rate = static_cast<float>(scheduled_rate(schedule, *clock) / (1 - clock->beta1_power));
  const float root = 1 / sqrtf(static_cast<float>(1 - clock->beta2_power));
  const bool copy = average_is_copy(schedule, *clock);
  const float decay = copy ? 0.0f : c.decay, one_minus_decay = copy ? 1.0f : c.one_minus_decay;
  for_each_vector<N>(n, [&]<int Width>(int64_t i) {
    const auto g = load_vector<Width>(grad + i);
    auto w = load_vector<Width>(value + i), first = load_vector<Width>(m + i), second = load_vector<Width>(v + i);
#pragma unroll
    for (int k = 0; k < Width; ++k) {
      first[k] = c.beta1 * first[k] + c.one_minus_beta1 * g[k];
      second[k] = c.beta2 * second[k] + c.one_minus_beta2 * (g[k] * g[k]);
      w[k] -= rate * first[k] / (sqrtf(second[k]) * root + c.eps);
    }
    if (mask) {
#pragma unroll
      for (int k = 0; k < Width; ++k) w[k] = mask[(i + k) >> run_bits] ? w[k] : 0.0f;
    }
    store_vector(m + i, first);
    store_vector(v + i, second);
    store_vector(value + i, w);
    if (!ema) return;
    auto average = load_vector<Width>(ema + i);
#pragma unroll
    for (int k = 0; k < Width; ++k) average[k] = decay * average[k] + one_minus_decay * w[k];
    store_vector(ema + i, average);
  });
}

}  // namespace

void begin_step(Context& ctx, Network network, const AdamOptions& options) {
  launch(ctx, {.grid = 1, .block = 1}, begin_step_kernel, network, options, ctx.step);
}

void adam(Context& ctx, Network network, const AdamOptions& options, double ema_decay, const AdamOperands& slab) {
  const AdamConstants constants{.beta1 = static_cast<float>(options.beta1),
                                .one_minus_beta1 = static_cast<float>(1 - options.beta1),
                                .beta2 = static_cast<float>(options.beta2),
                                .one_minus_beta2 = static_cast<float>(1 - options.beta2),
                                .eps = static_cast<float>(options.eps),
                                .decay = static_cast<float>(ema_decay),
                                .one_minus_decay = static_cast<float>(1 - ema_decay)};
  const int64_t n = slab.value.elements();
  const uint8_t* mask = slab.mask ? slab.mask.data<uint8_t>() : nullptr;
  const int run_bits = mask ? std::countr_zero(static_cast<uint64_t>(run_of(slab.mask, slab.value))) : 0;
  dispatch_width<float>(0, {&slab.grad, &slab.value, &slab.m, &slab.v, &slab.ema}, [&]<int N>() {
    launch(ctx, elementwise(n / N), adam_kernel<N>, constants, options.schedule,
           &ctx.step->clocks[static_cast<size_t>(network)], n, slab.grad.data<float>(), mask, run_bits,
           slab.value.data<float>(), slab.m.data<float>(), slab.v.data<float>(),
           slab.ema ? slab.ema.data<float>() : nullptr);
  });
}

}  // namespace poise::POISE_GPU
