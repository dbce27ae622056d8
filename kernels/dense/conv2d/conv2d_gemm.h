// The two matrix products that every pass of a convolution or of a linear layer becomes on the GPU, without forming the
// matrix of patches (implicit GEMM).
//
// A Correlation maps large images to small ones: small position p meets large position p * stride + tap - pad. Each
// pass walks over the positions of one side and gathers from the other:
//
//   Walk::small   large position = p * stride + tap - pad: all taps, one class of positions
//   Walk::large   small position = (a + pad - tap) / stride, for the taps where that is whole: they depend on a modulo
//                 stride only, so the positions fall into stride_h * stride_w classes, each with its own taps
//
//   convolve      y[position, n] = bias[n] + sum_{tap,c} source[gathered(position, tap), c] * w(n, tap, c)
//   correlate     partial[m, (tap, c)] = sum_positions plain[position, m] * source[gathered(position, tap), c]
//
// (conv2d.cu says which pass is which.) Channels of `source` and `plain` are multiples of 16 bytes, so that everything
// is read in aligned 16-byte pieces.
#pragma once
#include "kernels/gpu/gpu.h"

namespace poise::POISE_GPU {

// n / d for 0 <= n < 2^31 by a multiplication.
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

// One spatial axis of a correlation.
struct Axis {
  int large = 1, small = 1, taps = 1, stride = 1, pad = 0;
};

enum class Walk : uint8_t { small, large };

// The side of a correlation that is gathered, and the positions that are walked: images of positions_h x positions_w.
// Walk::large has as many for each class; some may lie outside of the image.
struct Gather {
  Walk walk = Walk::small;
  Axis h, w;
  int channels = 0;  // of the source
  int positions = 0;
  Divisor per_image, per_row;
};

// Weights [outputs or channels][h.taps][w.taps][the other]: `outputs` slowest (the sum runs over the fastest
// dimension), or fastest.
enum class WeightOrder : uint8_t { outputs_slowest, outputs_fastest };

struct Convolve {
  Gather gather;
  WeightOrder order = WeightOrder::outputs_slowest;
  const void* source = nullptr;
  const void* weight = nullptr;
  const float* bias = nullptr;  // or null
  void* y = nullptr;            // [images, large or small positions, outputs]
  float* partial = nullptr;     // instead of y, and without bias and ReLU: [splits] of it
  int outputs = 0;
  int weight_inner = 0, weight_outer = 0;  // extents of the weight's fastest and slowest dimensions
  int splits = 1;                          // of the sum
  int64_t y_elements = 0;
  bool relu = false;
};

struct Correlate {
  Gather gather;
  const void* source = nullptr;
  const void* plain = nullptr;  // [positions, plain_channels]
  int plain_channels = 0;
  float* partial = nullptr;  // [splits][plain_channels][taps of h][taps of w][channels of the source]
  int splits = 1;            // of the positions
};

enum class BlockSize : uint8_t { large, small };
constexpr int edge_of(BlockSize size) { return size == BlockSize::large ? 128 : 64; }

// What multiplies (tile_gemm.cuh). Compiled in one .cu file each: conv2d_bf16.cu, conv2d_tf32.cu, conv2d_fp32.cu.
struct Bf16;
struct Tf32;
struct Fp32;
template <class Math>
void launch_convolve(Context& ctx, const Convolve& c, BlockSize size);
template <class Math>
void launch_correlate(Context& ctx, const Correlate& c, BlockSize size);

}  // namespace poise::POISE_GPU
