// Random tensors, functions of (seed, stream, StepState::step, element) alone: see core/philox.h.
#pragma once
#include "kernels/core/context.h"
#include "kernels/core/philox.h"

namespace poise {

// Standard normal numbers: Box-Muller on the four uniforms of one Philox call, elements 4i .. 4i+3 from counter i.
using RandomNormal = void(Context&, RandomStream, Tensor& y);

// Classes 0 .. classes-1, equally likely: y[i] = floor(classes * u_i / 2^32), with four u per Philox call as well. y
// i32 [N].
using RandomLabels = void(Context&, RandomStream, int64_t classes, Tensor& y);
POISE_HOST_DEVICE constexpr int32_t label_of(uint32_t u, int64_t classes) {
  return static_cast<int32_t>((static_cast<uint64_t>(u) * static_cast<uint64_t>(classes)) >> 32);
}

// The same numbers for a given seed and step, on the host: initialisation, fixed latents, tests.
void normal_on_host(uint64_t seed, RandomStream stream, uint64_t step, int64_t count, double* out);
// Uniform in (0, 1), four per counter as well.
void uniform_on_host(uint64_t seed, RandomStream stream, uint64_t step, int64_t count, double* out);

}  // namespace poise
