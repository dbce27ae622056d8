// Division by a number that is fixed for a kernel launch, without a division instruction.
#pragma once
#include "kernels/gpu/gpu.h"

namespace poise::POISE_GPU {

// n / d for 0 <= n < 2^31, computed by a multiplication.
struct Divisor {
  uint32_t d = 1, multiplier = 0, shift = 0;
  Divisor() = default;
  explicit Divisor(uint32_t divisor) : d(divisor) {
    while ((uint64_t{1} << shift) < d) ++shift;
    multiplier = static_cast<uint32_t>((((uint64_t{1} << shift) - d) << 32) / d + 1);
  }
  POISE_HOST_DEVICE int divide(int n) const {
    const uint32_t x = static_cast<uint32_t>(n);
    return static_cast<int>((static_cast<uint32_t>((uint64_t{x} * multiplier) >> 32) + x) >> shift);
  }
};

}  // namespace poise::POISE_GPU
