// The next real minibatch, drawn on the device: images as uint8 in, floats in [-1, 1] out.
//
//   batch b = StepState::d_batches (advanced by one);  epoch = b / per_epoch
//   image j = images[ permute((b % per_epoch) * B + j) ] of this epoch's permutation, mirrored with probability 1/2
//   y = x / 127.5 - 1
//
// images u8 [N,H,W,C]; y [B,H,W,C]. With labels i32 [N], y_labels i32 [B] receives those of the images; else both are
// empty.
#pragma once
#include "kernels/core/context.h"

namespace poise {

struct GatherOptions {
  int64_t batches_per_epoch = 1;  // whole minibatches that fit into N images; the remainder of an epoch is dropped
  bool flip = true;
};
using GatherImages = void(Context&, const GatherOptions&, const Tensor& images, const Tensor& labels, Tensor& y,
                          Tensor& y_labels);

namespace cpu {
GatherImages gather_images;
}  // namespace cpu
}  // namespace poise
