#include "data/picture.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace poise {
namespace {

constexpr int kFractionBits = 22;  // 32 minus 8 for a byte minus 2 for headroom
constexpr int kHalf = 1 << (kFractionBits - 1);

uint8_t rounded(int sum) { return static_cast<uint8_t>(std::clamp(sum >> kFractionBits, 0, 255)); }

// The inputs and weights of each output: out[i] = sum over k < count of weights[first_weight + k] * in[first + k].
struct Taps {
  struct Output {
    int64_t first = 0, count = 0;
    size_t first_weight = 0;
  };
  std::vector<Output> outputs;
  std::vector<int> weights;
};

Taps taps_of(int64_t from, int64_t to) {
  const double scale = static_cast<double>(from) / static_cast<double>(to);
  const double support = std::max(scale, 1.0), inverse = 1.0 / support;  // half the width of the triangle
  Taps taps;
  std::vector<double> exact;
  for (int64_t i = 0; i < to; ++i) {
    const double centre = (static_cast<double>(i) + 0.5) * scale;
    const auto first = std::max<int64_t>(static_cast<int64_t>(centre - support + 0.5), 0);
    const auto last = std::min<int64_t>(static_cast<int64_t>(centre + support + 0.5), from);
    exact.clear();
    double sum = 0;
    for (int64_t x = first; x < last; ++x) {
      const double distance = std::fabs((static_cast<double>(x) - centre + 0.5) * inverse);
      exact.push_back(distance < 1 ? 1 - distance : 0);
      sum += exact.back();
    }
    taps.outputs.push_back({first, last - first, taps.weights.size()});
    for (const double weight : exact) {
      taps.weights.push_back(static_cast<int>(0.5 + (sum != 0 ? weight / sum : weight) * (1 << kFractionBits)));
    }
  }
  return taps;
}

}  // namespace

void crop_and_resize(const Picture& picture, int64_t side, uint8_t* out) {
  const int64_t from = std::min(picture.height, picture.width), pitch = picture.width * 3;
  const uint8_t* square = picture.rgb.data() + (picture.height - from) / 2 * pitch + (picture.width - from) / 2 * 3;
  const auto row_bytes = static_cast<size_t>(side * 3);
  if (from == side) {
    for (int64_t y = 0; y < side; ++y) std::memcpy(out + y * side * 3, square + y * pitch, row_bytes);
    return;
  }
  const Taps taps = taps_of(from, side);                               // the same in both directions
  std::vector<uint8_t> narrow(static_cast<size_t>(from) * row_bytes);  // [from, side, 3]
  for (int64_t y = 0; y < from; ++y) {
    const uint8_t* row = square + y * pitch;
    uint8_t* to = narrow.data() + y * side * 3;
    for (const Taps::Output& o : taps.outputs) {
      const int* weight = taps.weights.data() + o.first_weight;
      const uint8_t* pixel = row + o.first * 3;
      int red = kHalf, green = kHalf, blue = kHalf;
      for (int64_t k = 0; k < o.count; ++k, pixel += 3) {
        red += weight[k] * pixel[0];
        green += weight[k] * pixel[1];
        blue += weight[k] * pixel[2];
      }
      *to++ = rounded(red), *to++ = rounded(green), *to++ = rounded(blue);
    }
  }
  std::vector<int> sums(row_bytes);
  for (const Taps::Output& o : taps.outputs) {
    std::fill(sums.begin(), sums.end(), kHalf);
    for (int64_t k = 0; k < o.count; ++k) {
      const int weight = taps.weights[o.first_weight + static_cast<size_t>(k)];
      const uint8_t* row = narrow.data() + (o.first + k) * side * 3;
      for (size_t j = 0; j < row_bytes; ++j) sums[j] += weight * row[j];
    }
    for (const int sum : sums) *out++ = rounded(sum);
  }
}

}  // namespace poise
