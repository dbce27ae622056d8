// What stands before and after the matrix products of conv2d_gemm.h: copies that pad, fold or round, and second passes
// that sum partial results in a fixed order. All stream over memory once.
#pragma once
#include "kernels/dense/conv2d/conv2d_gemm.h"

namespace poise::POISE_GPU {

// to[row, c] = from[row, c], zero for channels <= c < padded.
void pad_channels(Context& ctx, DType dtype, int64_t rows, int64_t channels, int64_t padded, const void* from,
                  void* to);

// A convolution of a twice enlarged image is the transpose of a convolution with stride 2, one tap more per axis and
// folded weights (upsample_fold.h):
//   folded[o, u, v, i] = sum of weight[o, r, s, i] over the r that fold into u and the s that fold into v
struct WeightShape {
  int c_out, kh, kw, c_in;
  bool fold;
  POISE_HOST_DEVICE int taps_h() const { return kh + (fold ? 1 : 0); }
  POISE_HOST_DEVICE int taps_w() const { return kw + (fold ? 1 : 0); }
};
// weight -> [c_out][taps_h][taps_w][padded_in], folded if asked for.
void pack_weight(Context& ctx, DType dtype, const WeightShape& shape, int64_t padded_in, const void* weight, void* to);

// y[e] = bias[e % channels] + sum_split partial[split][e], and with relu no less than 0.
void sum_splits(Context& ctx, DType dtype, int64_t elements, int64_t channels, int splits, const float* partial,
                const float* bias, bool relu, void* y);

// The second pass of a convolution with few outputs and stride 1, whose first pass multiplied every pixel of the source
// by every tap of the weights:
//   y[n,p,q,c] = bias[c] + sum_{r,s,split} partial[split][n, p + sign (r - pad_h), q + sign (s - pad_w), column(c,r,s)]
//   column(c,r,s) = c * per_channel + (r * kw + s) * per_tap
// and with relu no less than 0.
struct TapSums {
  const float* partial;  // [splits][images, source_h, source_w, columns]
  int splits, images, source_h, source_w, columns;
  int y_h, y_w, channels;
  int kh, kw, pad_h, pad_w, sign, per_channel, per_tap;
};
void sum_taps(Context& ctx, DType dtype, const TapSums& sums, const float* bias, bool relu, void* y);

// partial: [splits][rows][taps_h][taps_w][columns], as WeightGradientGemm leaves it: rows are input channels and columns output
// channels if y's side was gathered, otherwise the other way round; both padded.
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
