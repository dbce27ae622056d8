// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): a counter-based generator.
// The key is the seed; the counter is {element, stream, step}. Latents, data order, flips and labels are therefore
// functions of the step, not of history: a resumed run draws what an uninterrupted run would have drawn, on any device.
#pragma once
#include <cstdint>

#include "kernels/core/host_device.h"

namespace poise {

// The purpose of a random number. The values are part of the checkpoint format: never renumber, only append.
enum class RandomStream : uint32_t {
  initialisation = 0,
  latent_d = 1,
  latent_g = 2,
  shuffle = 3,
  flip = 4,
  fixed_latent = 5,
  recalibration = 6,
  metric = 7,
  test = 8,
  mask_g = 9,  // initial masks and random growth
  mask_d = 10,
  label_d = 11,
  label_g = 12,
  diff_augment = 13,
};

struct Philox4 {
  uint32_t x[4];
};

POISE_HOST_DEVICE constexpr Philox4 philox4x32(uint64_t key, uint64_t element, uint32_t stream, uint64_t step) {
  // 128-bit counter: 48 bits of element, 16 of stream, 64 of step.
  uint32_t c0 = static_cast<uint32_t>(element);
  uint32_t c1 = static_cast<uint32_t>((element >> 32) & 0xffffu) | (stream << 16);
  uint32_t c2 = static_cast<uint32_t>(step);
  uint32_t c3 = static_cast<uint32_t>(step >> 32);
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c0;
    const uint64_t p1 = uint64_t{0xCD9E8D57u} * c2;
    c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    c1 = static_cast<uint32_t>(p1);
    c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c3 = static_cast<uint32_t>(p0);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// Uniform in the open interval (0, 1): (floor(bits / 2^9) + 1/2) / 2^23, never 0 or 1, exactly representable in f32.
POISE_HOST_DEVICE constexpr float uniform_open(uint32_t bits) {
  return (static_cast<float>(bits >> 9) + 0.5f) * (1.0f / 8388608.0f);
}

// A pseudo-random permutation of 0..n-1, evaluated at one point: a balanced Feistel network over the next power of
// four, iterated until the value is below n. It shuffles an epoch image by image, without storing the order.
POISE_HOST_DEVICE constexpr uint64_t permute(uint64_t index, uint64_t n, uint64_t key, uint64_t epoch) {
  if (n < 2) return 0;
  int half_bits = 1;
  while ((uint64_t{1} << (2 * half_bits)) < n) ++half_bits;
  const uint64_t mask = (uint64_t{1} << half_bits) - 1;
  uint64_t value = index;
  do {
    uint64_t left = value >> half_bits, right = value & mask;
    for (uint32_t round = 0; round < 6; ++round) {
      const uint64_t element = (uint64_t{round} << 32) | right;
      const uint64_t next =
          left ^ (philox4x32(key, element, static_cast<uint32_t>(RandomStream::shuffle), epoch).x[0] & mask);
      left = right;
      right = next;
    }
    value = (left << half_bits) | right;
  } while (value >= n);
  return value;
}

}  // namespace poise
