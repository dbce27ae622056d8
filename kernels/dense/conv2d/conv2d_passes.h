// What runs before and after the matrix products of conv2d_gemm.h: padded copies, and second passes that sum partial
// results in a fixed order. All stream over memory once.
#pragma once
#include "kernels/dense/conv2d/conv2d_gemm.h"
#include "kernels/dense/conv2d/packed_weights.cuh"

namespace poise::POISE_GPU {

// to[row, c] = from[row, c], zero for channels <= c < padded.
void pad_channels(Context& ctx, DType dtype, int64_t rows, int64_t channels, int64_t padded, const void* from,
                  void* to);

// y[e] = ending(sum_split partial[split][e]), with bias[e % channels].
void sum_splits(Context& ctx, DType dtype, int64_t elements, int64_t channels, int splits, const float* partial,
                const Ending& ending, void* y);

// The second pass of a convolution with few outputs and stride 1, whose first pass multiplied every pixel of the source
// by every tap of the weights:
//   y[n,p,q,c] = ending(sum_{r,s,split} partial[split][n, p + sign (r - pad_h), q + sign (s - pad_w), column(c,r,s)])
//   column(c,r,s) = c * per_channel + (r * kw + s) * per_tap
// with bias[c].
struct TapSums {
  const float* partial;  // [splits][images, source_h, source_w, columns]
  int splits, images, source_h, source_w, columns;
  int y_h, y_w, channels;
  int kh, kw, pad_h, pad_w, sign, per_channel, per_tap;
};
void sum_taps(Context& ctx, DType dtype, const TapSums& sums, const Ending& ending, void* y);

// partial: [splits][rows][taps_h][taps_w][columns], as WeightGradientGemm writes it. Rows are input channels and
// columns output channels if y's side was gathered, otherwise the other way round; both are padded.
struct WeightPartials {
  const float* partial;
  int splits, rows, columns;
  bool gathers_y;
  ColumnSums bias;
};
// dbias [c_out] may be null.
void finish_weight_gradient(Context& ctx, const WeightShape& shape, const WeightPartials& partials, float* dweight,
                            float* dbias);

}  // namespace poise::POISE_GPU
