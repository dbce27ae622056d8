// A convolution of a 2x upsampled image (nearest neighbour; k taps per axis, k odd, stride 1, padding k/2) without the
// upsampled image. Along one axis, the output at P of the large image reads pixel p of the small one through the taps r
// with floor((P + r - k/2) / 2) = p. With u = P - 2p + k/2 these are r = k-1-u and r = k-u, if they exist, so they fold
// into one weight:
//
//   folded[u] = w[k-1-u] + w[k-u],   u = 0 .. k;         dw[r] = dfolded[k-1-r] + dfolded[k-r]
//
// As one convolution (the GPU's dense kernels), this is the transpose of a convolution with stride 2 and k + 1 taps.
//
// By the parity of P (block-sparse kernels), outputs of one parity read a window of two small pixels, so a 3x3
// convolution becomes four 2x2 convolutions of the small image, one per pair of parities:
//
//   parity 0:  offset -1 with tap 0,        offset 0 with taps 1 and 2
//   parity 1:  offset  0 with taps 0 and 1, offset 1 with tap 2
//
// 16 multiply-adds per small pixel where the plain sum has 36. A 1x1 convolution commutes with upsampling.
#pragma once
#include <cstdint>

#include "kernels/core/host_device.h"

namespace poise {

struct TapRange {
  int first, last;
};

// The taps r that fold into u.
POISE_HOST_DEVICE constexpr TapRange folded_taps(int k, int u) {
  const int first = k - 1 - u, last = k - u;
  return {first < 0 ? 0 : first, last < k ? last : k - 1};
}
// Tap r folds into this u and the next one.
POISE_HOST_DEVICE constexpr int first_fold(int k, int r) { return k - 1 - r; }

// --- By parity, for k = 3 ---

constexpr int kParities = 4;  // pairs of one per axis: 2 * row parity + column parity
constexpr int kFoldedPositions = 16;

// The pixel at `position` 0 or 1 of a window, relative to the output's own small pixel; and the taps that read it.
constexpr int window_offset(int parity, int position) { return position - 1 + parity; }
constexpr TapRange window_taps(int parity, int position) {
  return folded_taps(3, parity - 2 * window_offset(parity, position) + 1);
}
// The position that tap r adds to.
constexpr int window_position(int parity, int r) { return r > window_taps(parity, 0).last ? 1 : 0; }

// One of the 16 weights between a pair of channels: y[2p+a, 2q+b] += (sum of taps) x[p+dr, q+dc], parity = 2a + b.
struct FoldedPosition {
  int8_t parity, dr, dc;
  uint16_t taps;  // bit 3 r + s
};
// 0 .. 15, by parity, then by row and column of the window.
constexpr FoldedPosition folded_position(int index) {
  const int a = index >> 3, b = index >> 2 & 1, u = index >> 1 & 1, v = index & 1;
  const TapRange rows = window_taps(a, u), columns = window_taps(b, v);
  unsigned taps = 0;
  for (int r = rows.first; r <= rows.last; ++r) {
    for (int s = columns.first; s <= columns.last; ++s) taps |= 1u << (3 * r + s);
  }
  return {static_cast<int8_t>(2 * a + b), static_cast<int8_t>(window_offset(a, u)),
          static_cast<int8_t>(window_offset(b, v)), static_cast<uint16_t>(taps)};
}

// How many of the 16 are sums of `taps` taps: 4 of one, 8 of two, 4 of four.
constexpr int positions_with(int taps) {
  int count = 0;
  for (int i = 0; i < kFoldedPositions; ++i) {
    int bits = 0;
    for (unsigned left = folded_position(i).taps; left != 0; left &= left - 1) ++bits;
    count += bits == taps ? 1 : 0;
  }
  return count;
}
static_assert(positions_with(1) == 4 && positions_with(2) == 8 && positions_with(4) == 4);

}  // namespace poise
