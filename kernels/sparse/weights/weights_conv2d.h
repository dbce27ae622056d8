// Convolution under a mask of single weights (kernels/dense/conv2d/conv2d.h says what a convolution is): dead weights
// are neither read nor multiplied, no matter where they are. On the CPU.
//
//   forward            y  = conv(x, w)           over the alive weights of each output
//   backward_input     dx = conv(dy, w)^T        over the alive weights of each input
//   backward_weight    dw = x (*) dy             at alive weights; zero elsewhere
//
// Served: see weight_terms.h. A linear layer [N,in] is a 1x1 convolution of N one-pixel images. Sixteen lanes, images
// or stripes of fewer images (image_lanes.h), are computed at once; an empty lane costs as much as a full one.
#pragma once
#include "kernels/core/layer_input.h"
#include "kernels/core/layer_output.h"
#include "kernels/sparse/weights/weight_index.h"

namespace poise {

// A layer in the form that this path computes: pooling is part of a 3x3 convolution (weight_terms.h).
inline Conv2dGeometry weights_form(const Conv2dGeometry& layer) {
  Conv2dGeometry form = layer.sparse_form();
  if (layer.pools_sums()) form.pool = layer.pool;
  return form;
}

// Whether the geometry's `relu`, `adds` and `masks` are applied. Otherwise callers do not request them.
constexpr bool weights_conv2d_finishes(DType dtype) { return dtype != DType::f64; }
// Whether x may be normalised as it is read. Otherwise callers pass x without a normalisation.
constexpr bool weights_conv2d_normalises(DType dtype, const Conv2dGeometry& form) {
  return dtype == DType::f32 && form.pool == 1;
}

// Whether the forward pass takes moments of y, or backward_input sums of dx. Otherwise callers do not request them.
constexpr bool weights_conv2d_takes_sums(DType dtype, const Conv2dGeometry& form, Pass pass) {
  if (dtype != DType::f32) return false;
  if (pass == Pass::forward) return !(form.upsample == 2 && form.kh == 1);
  return pass == Pass::backward_input && form.pool == 1 && form.stride_h == 1 && form.stride_w == 1;
}

// The workspace and the executed work of a pass with the weights that are alive now. Both grow with them.
using WeightsConv2dPlanner = Conv2dPlan(const Context&, const Conv2dGeometry&, const WeightIndex&, DType, Pass);
using WeightsConv2dForward = void(Context&, const Conv2dGeometry&, const WeightIndex&, const LayerInput& x,
                                  const Tensor& weight, const Tensor& bias, Tensor& workspace, const LayerOutput& y);
using WeightsConv2dBackwardInput = void(Context&, const Conv2dGeometry&, const WeightIndex&, const Tensor& dy,
                                        const Tensor& weight, Tensor& workspace, const InputGradient& dx);
using WeightsConv2dBackwardWeight = void(Context&, const Conv2dGeometry&, const WeightIndex&, const LayerInput& x,
                                         const Tensor& dy, Tensor& workspace, Tensor& dweight, Tensor& dbias);

// Whether execution weight by weight runs on this device.
constexpr bool has_weights(Device device) { return device == Device::cpu; }

}  // namespace poise
