// Batch normalisation as CPU loops compute it. The same expression is used everywhere, so that a layer that reads a
// normalised value and one that writes it agree bit for bit.
#pragma once
#include <limits>

#include "kernels/core/layer_input.h"

namespace poise::cpu {

// The value before the activation. Never contracted to an FMA, even in files compiled with -ffp-contract=fast.
template <class Number>
[[gnu::always_inline]] inline Number normalised(Number x, Number mean, Number scale, Number beta) {
  return __builtin_assoc_barrier((x - mean) * scale) + beta;
}

// The activation is max(value, floor); it passes gradient where value > floor.
template <class Number>
constexpr Number activation_floor(bool relu) {
  return relu ? Number{0} : -std::numeric_limits<Number>::infinity();
}

// The parameters of channels `first`, `first` + 1, ..., in f32.
struct ChannelNorm {
  const float *gamma = nullptr, *beta = nullptr, *mean = nullptr, *inv_std = nullptr;
  float floor = 0;
  explicit operator bool() const { return mean != nullptr; }
};
inline ChannelNorm channel_norm(const Normalisation& n, int64_t first = 0) {
  if (!n) return {};
  return {.gamma = n.gamma.data<float>() + first,
          .beta = n.beta.data<float>() + first,
          .mean = n.mean.data<float>() + first,
          .inv_std = n.inv_std.data<float>() + first,
          .floor = activation_floor<float>(n.relu)};
}

}  // namespace poise::cpu
