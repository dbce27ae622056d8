// A tanh for loops that the compiler vectorises.
#pragma once
#include <bit>
#include <cmath>
#include <cstdint>

namespace poise::cpu {

inline double tangent(double x) { return std::tanh(x); }

// As accurate as the library's tanh to about two units in the last place, and without a branch. With t = e^(2|x|) - 1,
// tanh |x| = t / (t + 2);  2|x| = n ln 2 + r, |r| <= ln 2 / 2, and t = 2^n (e^r - 1) + (2^n - 1).
inline float tangent(float x) {
  constexpr float kSaturated = 10;  // from here on the result is 1
  constexpr float kLog2E = 1.44269504f, kLn2High = 0.693145752f, kLn2Low = 1.42860677e-6f;  // kLn2High has few bits
  constexpr float kRound = 12582912.0f;                                                     // 1.5 * 2^23
  const float magnitude = std::abs(x);
  const float twice = 2 * (magnitude < kSaturated ? magnitude : kSaturated);
  const float n = (twice * kLog2E + kRound) - kRound;
  const float r = (twice - n * kLn2High) - n * kLn2Low;
  const float series =  // (e^r - 1 - r) / r^2
      1.0f / 2 + r * (1.0f / 6 + r * (1.0f / 24 + r * (1.0f / 120 + r * (1.0f / 720 + r * (1.0f / 5040)))));
  const float power = std::bit_cast<float>((static_cast<int32_t>(n) + 127) << 23);  // 2^n
  const float t = power * (r + r * r * series) + (power - 1);
  const float result = std::copysign(t / (t + 2), x);
  return x != x ? x : result;
}

}  // namespace poise::cpu
