// Arrays with four indices, as read and written by the definitions of ops.
#pragma once
#include <functional>
#include <vector>

#include "kernels/core/shape.h"

namespace poise::test {

using Values = std::vector<double>;

// An array [N,H,W,C] that reads as zero outside the image.
struct HostImage {
  const Values& values;
  Shape s;
  double at(int64_t n, int64_t h, int64_t w, int64_t c) const {
    if (h < 0 || h >= s[1] || w < 0 || w >= s[2]) return 0;
    return values[static_cast<size_t>(((n * s[1] + h) * s[2] + w) * s[3] + c)];
  }
};

// The values of f for all indices in shape s, in row-major order.
inline Values tabulate(const Shape& s, const std::function<double(int64_t, int64_t, int64_t, int64_t)>& f) {
  Values y;
  for (int64_t a = 0; a < s[0]; ++a) {
    for (int64_t b = 0; b < s[1]; ++b) {
      for (int64_t c = 0; c < s[2]; ++c) {
        for (int64_t d = 0; d < s[3]; ++d) y.push_back(f(a, b, c, d));
      }
    }
  }
  return y;
}

}  // namespace poise::test
