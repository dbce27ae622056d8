// The two matrix products that every pass of a convolution or of a linear layer becomes on the GPU, without forming the
// matrix of patches (implicit GEMM).
//
// A correlation maps large images to small ones: output p of the small side reads position p * stride + tap - pad of
// the large side. Each pass walks over the positions of one side and gathers from the other:
//
//   Walk::outputs   large position = p * stride + tap - pad: all taps, one stride phase
//   Walk::inputs    small position = (a + pad - tap) / stride, for the taps where this is an integer. They depend only
//                   on a modulo stride, so the positions fall into stride_h * stride_w phases, each with its own taps
//
//   ImplicitGemm        y[position, n] = ending(sum_{tap,c} source[gathered(position, tap), c] * w(n, tap, c))
//   WeightGradientGemm  partial[m, (tap, c)] = sum_positions dense[position, m] * source[gathered(position, tap), c],
//                       and, in extra blocks, the first pass of the bias gradient
//
// conv2d.cu says which pass is which. The channels of `dense` are a multiple of 16 bytes, so that all reads are aligned
// 16-byte vectors. So are those of `source`, unless they are few and read one by one; then only whole rows of weights
// [outputs][tap][channel] are a multiple of 16 bytes.
#pragma once
#include "kernels/gpu/column_sums.h"
#include "kernels/gpu/divisor.h"
#include "kernels/gpu/ending.h"

namespace poise::POISE_GPU {

// One spatial axis of a correlation.
struct Axis {
  int large = 1, small = 1, taps = 1, stride = 1, pad = 0;
};

enum class Walk : uint8_t { outputs, inputs };

// The side of a correlation that is gathered, and the positions that are walked: images of positions_h x positions_w.
// Walk::inputs has this many per phase; some may be outside the image.
struct Gather {
  Walk walk = Walk::outputs;
  Axis h, w;
  int channels = 0;  // of the source
  int positions = 0;
  Divisor per_image, per_row;
};

// The layout of the weights: [outputs][h.taps][w.taps][channels], summed over the fastest dimension, or
// [channels][h.taps][w.taps][outputs].
enum class WeightOrder : uint8_t { outputs_slowest, outputs_fastest };

struct ImplicitGemm {
  Gather gather;
  WeightOrder order = WeightOrder::outputs_slowest;
  const void* source = nullptr;
  const void* weight = nullptr;
  void* y = nullptr;         // [images, large or small positions, outputs]
  float* partial = nullptr;  // if set, receives [splits] partial results instead of y, without `ending`
  int outputs = 0;
  int weight_inner = 0, weight_outer = 0;  // extents of the weight's fastest and slowest dimensions
  int splits = 1;                          // of the sum
  int64_t y_elements = 0;
  Ending ending;
};

struct WeightGradientGemm {
  Gather gather;
  const void* source = nullptr;
  const void* dense = nullptr;  // [positions, dense_channels]
  int dense_channels = 0;
  float* partial = nullptr;  // [splits][dense_channels][taps of h][taps of w][channels of the source]
  int splits = 1;            // of the positions
  ColumnSums bias;           // of dy
};

enum class BlockSize : uint8_t { large, small };
constexpr int edge_of(BlockSize size) { return size == BlockSize::large ? 128 : 64; }

// The arithmetic (tile_gemm.cuh). Each is compiled in its own file: conv2d_bf16.cu, conv2d_tf32.cu, conv2d_fp32.cu.
struct Bf16;
struct Tf32;
struct Fp32;
template <class Math>
void launch_implicit_gemm(Context& ctx, const ImplicitGemm& c, BlockSize size);
template <class Math>
void launch_weight_gradient_gemm(Context& ctx, const WeightGradientGemm& c, BlockSize size);

}  // namespace poise::POISE_GPU
