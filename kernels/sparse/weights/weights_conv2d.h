// Convolution under a mask of single weights (kernels/dense/conv2d/conv2d.h says what a convolution is): dead weights are
// neither read nor multiplied, wherever they lie. On the CPU.
//
//   forward            y  = conv(x, w)           over the alive weights of each output
//   backward_input     dx = conv(dy, w)^T        over the alive weights of each input
//   backward_weight    dw = x (*) dy             at alive weights; zero elsewhere
//
// Served: what weight_terms.h says. A linear layer [N,in] is a 1x1 convolution of N one-pixel images. Sixteen images are
// computed at once, so batches are best multiples of 16; a batch of one costs as much as sixteen.
#pragma once
#include "kernels/core/layer_input.h"
#include "kernels/core/layer_output.h"
#include "kernels/sparse/weights/weight_index.h"

namespace poise {

// A layer as this path computes it: pooling belongs to a 3x3 convolution (weight_terms.h).
inline Conv2dGeometry weights_form(const Conv2dGeometry& layer) {
  Conv2dGeometry form = layer.sparse_form();
  if (layer.pools_sums()) form.pool = layer.pool;
  return form;
}

// Are `relu`, `adds` and `masks` of the geometry seen to? Elsewhere they are not asked for.
constexpr bool weights_conv2d_finishes(DType dtype) { return dtype != DType::f64; }
// May x be normalised on the way in? Elsewhere it is not.
constexpr bool weights_conv2d_normalises(DType dtype, const Conv2dGeometry& form) {
  return dtype == DType::f32 && form.pool == 1;
}

// Are moments of y taken, forward, or sums of dx? Elsewhere they are not asked for.
constexpr bool weights_conv2d_takes_sums(DType dtype, const Conv2dGeometry& form, Pass pass) {
  if (dtype != DType::f32) return false;
  if (pass == Pass::forward) return !(form.upsample == 2 && form.kh == 1);
  return pass == Pass::backward_input && form.pool == 1 && form.stride_h == 1 && form.stride_w == 1;
}

// What a pass needs and does with the weights that are alive now. The workspace grows with them.
using WeightsConv2dPlanner = Conv2dPlan(const Context&, const Conv2dGeometry&, const WeightIndex&, DType, Pass);
using WeightsConv2dForward = void(Context&, const Conv2dGeometry&, const WeightIndex&, const LayerInput& x,
                                  const Tensor& weight, const Tensor& bias, Tensor& workspace, const LayerOutput& y);
using WeightsConv2dBackwardInput = void(Context&, const Conv2dGeometry&, const WeightIndex&, const Tensor& dy,
                                        const Tensor& weight, Tensor& workspace, const InputGradient& dx);
using WeightsConv2dBackwardWeight = void(Context&, const Conv2dGeometry&, const WeightIndex&, const LayerInput& x,
                                         const Tensor& dy, Tensor& workspace, Tensor& dweight, Tensor& dbias);

// Does execution weight by weight run on this device?
constexpr bool has_weights(Device device) { return device == Device::cpu; }

}  // namespace poise
