// How the dense kernels read weights: [c_out][taps_h][taps_w][c_in padded to 16 bytes]. A convolution of a 2x upsampled
// image is the transpose of a convolution with stride 2, one more tap per axis and folded weights (upsample_fold.h);
// one whose outputs are averaged over 2x2 is a convolution with stride 2 and one more tap per axis (pooling_fold.h):
//   packed[o, u, v, i] = factor * sum of weight[o, r, s, i] over the r that fold into u and the s that fold into v
#pragma once
#include <span>

#include "kernels/dense/conv2d/pooling_fold.h"
#include "kernels/gpu/gpu.h"

namespace poise::POISE_GPU {

enum class Fold : uint8_t { none, enlarged, pooled };

struct WeightShape {
  int c_out, kh, kw, c_in;  // as the weight is stored
  Fold fold;

  POISE_HOST_DEVICE bool folds() const { return fold != Fold::none; }
  POISE_HOST_DEVICE int taps_h() const { return kh + (folds() ? 1 : 0); }
  POISE_HOST_DEVICE int taps_w() const { return kw + (folds() ? 1 : 0); }
  POISE_HOST_DEVICE float factor() const { return fold == Fold::pooled ? 0.25f : 1.0f; }
  // On an axis of k taps: those that fold into u (taps_of), and the first of the two that tap r folds into (first_of).
  POISE_HOST_DEVICE TapRange taps_of(int k, int u) const {
    return fold == Fold::none ? TapRange{u, u} : fold == Fold::pooled ? pooled_taps(u) : folded_taps(k, u);
  }
  POISE_HOST_DEVICE int first_of(int k, int r) const {
    return fold == Fold::none ? r : fold == Fold::pooled ? first_pooled_fold(r) : first_fold(k, r);
  }
};

struct PackedWeight {
  WeightShape shape;
  int padded;        // channels of `to`
  const void* from;  // of type `from` of pack_weights()
  void* to;
};
// `from` is f32 or the same as `to`.
void pack_weights(Context& ctx, DType from, DType to, std::span<const PackedWeight> weights);

}  // namespace poise::POISE_GPU
