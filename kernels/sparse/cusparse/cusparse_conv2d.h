// Block-sparse convolution through the vendor's library (kernels/gpu/sparse.h), on a GPU only; on the CPU Error(usage).
// The passes, layouts and functions are those of block_conv2d.h, but the library multiplies. A weight is a matrix
// [C_out, taps*C_in] of blocks, and activations, channels fastest, are matrices [pixels, C]:
//
//   dsd:  forward            y  = u(x)  w^T      u [pixels, taps*C_in]:    the pixels that each output reads (im2col)
//   dsd:  backward_input     dx = v(dy) w'^T     v [pixels, taps*C_out]:   the gradients that reach each input;
//                                                w' [C_in, taps*C_out]:    w, transposed tap by tap
//   sdd:  backward_weight    dw = dy^T  u(x)     at alive blocks; zero elsewhere
//
// The library expects packed blocks, so every call gathers their values from the dense weight, which changes at every
// step. A 1x1 convolution needs no u and no v. For 3x3 convolutions these are built in the workspace for a few images
// at a time. A 3x3 convolution of an enlarged image runs on the enlarged image: the library has no summed taps.
//
// A BlockIndex must have in_offsets and a block of 16, 32, 64 or 128.
#pragma once
#include "kernels/sparse/block/block_conv2d.h"

namespace poise {

// Whether the library runs on this device.
constexpr bool has_cusparse(Device device) { return device != Device::cpu; }

}  // namespace poise
