// Block-sparse convolution (kernels/dense/conv2d/conv2d.h says what a convolution is): dead blocks of the weight are neither
// read nor multiplied.
//
//   dsd:  forward            y  = conv(x, w)           over the blocks of each row
//   dsd:  backward_input     dx = conv(dy, w)^T        over the blocks of each column
//   sdd:  backward_weight    dw = x (*) dy             at alive blocks; zero elsewhere
//
// Served: 1x1 and 3x3, stride 1, padding that keeps the size, upsample 1 or 2, both channel counts multiples of the
// block. A linear layer [N,in] is a 1x1 convolution of N one-pixel images.
#pragma once
#include "kernels/core/layer_input.h"
#include "kernels/core/layer_output.h"
#include "kernels/dense/conv2d/conv2d.h"
#include "kernels/sparse/block/block_index.h"

namespace poise {

bool block_conv2d_serves(const Conv2dGeometry& geometry, int64_t block);

// Do kernels do what `relu`, `adds` and `masks` of the geometry ask for? And on this device `pool`? Elsewhere they are not asked.
constexpr bool block_conv2d_finishes(DType dtype, const Conv2dGeometry& geometry) {
  const bool repeats_outputs = geometry.upsample == 2 && geometry.kh == 1;
  return dtype != DType::f64 && !repeats_outputs;
}
constexpr bool block_conv2d_pools(Device device, DType dtype) { return device == Device::cpu && dtype != DType::f64; }
// .. and may x be normalised on the way in? Elsewhere it is not.
constexpr bool block_conv2d_normalises(Device device, DType dtype) { return block_conv2d_pools(device, dtype); }

// Are moments of y taken, forward, or sums of dx? Elsewhere they are not asked for.
using BlockConv2dTakesSums = bool(const Context&, const Conv2dGeometry&, DType, Pass);

// What a pass needs and does with the blocks that are alive now.
using BlockConv2dPlanner = Conv2dPlan(const Context&, const Conv2dGeometry&, const BlockIndex&, DType, Pass);
using BlockConv2dForward = void(Context&, const Conv2dGeometry&, const BlockIndex&, const LayerInput& x,
                                const Tensor& weight, const Tensor& bias, Tensor& workspace, const LayerOutput& y);
using BlockConv2dBackwardInput = void(Context&, const Conv2dGeometry&, const BlockIndex&, const Tensor& dy,
                                      const Tensor& weight, Tensor& workspace, const InputGradient& dx);
using BlockConv2dBackwardWeight = void(Context&, const Conv2dGeometry&, const BlockIndex&, const LayerInput& x,
                                       const Tensor& dy, Tensor& workspace, Tensor& dweight, Tensor& dbias);

}  // namespace poise
