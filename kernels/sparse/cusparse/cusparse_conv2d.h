// Block-sparse convolution through the vendor's library (kernels/gpu/sparse.h), on a GPU alone: on the CPU Error(usage).
// The passes, layouts and functions are those of block_conv2d.h; what differs is who multiplies. A weight is a matrix
// [C_out, taps*C_in] of blocks, and activations, channels fastest, are matrices [pixels, C]:
//
//   dsd:  forward            y  = u(x)  w^T      u [pixels, taps*C_in]:    the pixels that each output sees (im2col)
//   dsd:  backward_input     dx = v(dy) w'^T     v [pixels, taps*C_out]:   the gradients that each input meets;
//                                                w' [C_in, taps*C_out]:    w, transposed tap by tap
//   sdd:  backward_weight    dw = dy^T  u(x)     at alive blocks; zero elsewhere
//
// The library expects the values of blocks packed, so they are gathered from the dense weight in every call: weights
// change at every step. A 1x1 convolution needs no u and no v. Those of 3x3 convolutions are made for a few images at a
// time, in the workspace. An enlarged 3x3 convolution is one of the enlarged image: the library has no summed taps.
//
// Indexes have in_offsets, and their block is 16, 32, 64 or 128.
#pragma once
#include "kernels/sparse/block/block_conv2d.h"

namespace poise {

// Does the library run on this device?
constexpr bool has_cusparse(Device device) { return device != Device::cpu; }

}  // namespace poise
