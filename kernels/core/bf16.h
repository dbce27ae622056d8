// bfloat16: the upper half of an f32. A storage type: arithmetic happens in f32.
#pragma once
#include <cstdint>

#include "kernels/core/host_device.h"

#ifdef __CUDACC__
#include <cuda_bf16.h>
#endif

namespace poise {

struct bf16 {
  uint16_t bits;
};

POISE_HOST_DEVICE constexpr float to_float(bf16 x) { return __builtin_bit_cast(float, uint32_t{x.bits} << 16); }
POISE_HOST_DEVICE constexpr float to_float(float x) { return x; }

// Round to nearest, ties to even; NaN stays NaN.
POISE_HOST_DEVICE inline bf16 to_bf16(float x) {
#ifdef __CUDA_ARCH__
  return {__bfloat16_as_ushort(__float2bfloat16_rn(x))};
#else
  const uint32_t u = __builtin_bit_cast(uint32_t, x);
  if ((u & 0x7fffffffu) > 0x7f800000u) return {static_cast<uint16_t>((u >> 16) | 0x40u)};
  return {static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16)};
#endif
}

// from_float<T>(x): x, rounded to the storage type T.
template <class T>
POISE_HOST_DEVICE inline T from_float(float x) {
  if constexpr (sizeof(T) == sizeof(bf16)) {
    return to_bf16(x);
  } else {
    return x;
  }
}

}  // namespace poise
