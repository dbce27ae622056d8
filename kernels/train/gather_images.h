// The next real minibatch, drawn on the device: images as uint8 in, floats in [-1, 1] out.
//
//   batch b = StepState::d_batches (advanced by one);  epoch = b / per_epoch
//   image j = images[ permute((b % per_epoch) * B + j) ] of this epoch's permutation, mirrored with probability 1/2
//   y = x / 127.5 - 1, so that 0 and 255 are the ends of G's tanh
//
// (Feature networks scale images as their weights were trained: dense/space/resize_bilinear.h, random_network.cpp.)
//
// images u8 [N,H,W,C]; y [B,H,W,C]. With labels i32 [N], y_labels i32 [B] receives the labels of the images; otherwise
// both are empty. With a ring of R minibatches, images are [R*B,H,W,C] and labels [R*B]: the host has already looked up
// minibatch b (with gathered_image()) and stored it in slot b % R, and
//
//   image j = images[ (b % R) * B + j ]
#pragma once
#include "kernels/core/context.h"
#include "kernels/core/philox.h"

namespace poise {

struct GatherOptions {
  int64_t batches_per_epoch = 1;  // whole minibatches that fit into N images; the remainder of an epoch is dropped
  bool flip = true;
  int64_t ring = 0;  // 0: `images` is the whole set; else the ring's capacity in minibatches
};

// Which of `count` images is image j of minibatch `batch`.
POISE_HOST_DEVICE constexpr uint64_t gathered_image(uint64_t seed, uint64_t count, uint64_t per_epoch,
                                                    uint64_t batch_size, uint64_t batch, uint64_t j) {
  return permute(batch % per_epoch * batch_size + j, count, seed, batch / per_epoch);
}

// The index of that image in the kernel's `images`, which holds `count`.
POISE_HOST_DEVICE constexpr uint64_t gathered_place(const GatherOptions& options, uint64_t seed, uint64_t count,
                                                    uint64_t batch_size, uint64_t batch, uint64_t j) {
  if (options.ring > 0) return batch % static_cast<uint64_t>(options.ring) * batch_size + j;
  return gathered_image(seed, count, static_cast<uint64_t>(options.batches_per_epoch), batch_size, batch, j);
}

using GatherImages = void(Context&, const GatherOptions&, const Tensor& images, const Tensor& labels, Tensor& y,
                          Tensor& y_labels);

}  // namespace poise
