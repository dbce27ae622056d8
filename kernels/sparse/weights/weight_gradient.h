// The weight gradient of weights_conv2d.h, f32.
#pragma once
#include "kernels/core/layer_input.h"
#include "kernels/sparse/weights/weight_index.h"

namespace poise::cpu {

Conv2dPlan weight_gradient_plan(const Conv2dGeometry& geometry, const WeightIndex& index);
void weight_gradient(const Conv2dGeometry& geometry, const WeightIndex& index, const LayerInput& in, const Tensor& dy,
                     Tensor& workspace, Tensor& dweight, Tensor& dbias);

}  // namespace poise::cpu
