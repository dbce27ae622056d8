// Block-sparse convolution (kernels/dense/conv2d/conv2d.h says what a convolution is): dead blocks of the weight are
// neither read nor multiplied.
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

// Whether kernels apply the geometry's `relu`, `adds` and `masks`, and on this device `pool`. Else none is requested.
constexpr bool block_conv2d_finishes(DType dtype, const Conv2dGeometry& geometry) {
  const bool repeats_outputs = geometry.upsample == 2 && geometry.kh == 1;
  return dtype != DType::f64 && !repeats_outputs;
}
constexpr bool block_conv2d_pools(Device device, DType dtype) { return device == Device::cpu && dtype != DType::f64; }
// Whether x may be normalised as it is read. Otherwise callers pass x without a normalisation.
constexpr bool block_conv2d_normalises(Device device, DType dtype) { return block_conv2d_pools(device, dtype); }

// Whether the forward pass takes moments of y, or backward_input sums of dx. Otherwise callers do not request them.
using BlockConv2dTakesSums = bool(const Context&, const Conv2dGeometry&, DType, Pass);

// The workspace that a pass needs and the work that it executes, with the blocks that are alive now.
using BlockConv2dPlanner = Conv2dPlan(const Context&, const Conv2dGeometry&, const BlockIndex&, DType, Pass);
using BlockConv2dForward = void(Context&, const Conv2dGeometry&, const BlockIndex&, const LayerInput& x,
                                const Tensor& weight, const Tensor& bias, Tensor& workspace, const LayerOutput& y);
using BlockConv2dBackwardInput = void(Context&, const Conv2dGeometry&, const BlockIndex&, const Tensor& dy,
                                      const Tensor& weight, Tensor& workspace, const InputGradient& dx);
using BlockConv2dBackwardWeight = void(Context&, const Conv2dGeometry&, const BlockIndex&, const LayerInput& x,
                                       const Tensor& dy, Tensor& workspace, Tensor& dweight, Tensor& dbias);

}  // namespace poise
