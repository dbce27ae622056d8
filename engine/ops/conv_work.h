// What a pass of a convolution costs.
#pragma once
#include "kernels/core/profile.h"
#include "kernels/dense/conv2d/conv2d.h"

namespace poise {

// Of `geometry`, computed as `plan` says, with input, weight and output in `dtype`: each is read or written once.
inline Work conv_work(const Conv2dGeometry& geometry, const Conv2dPlan& plan, DType dtype, Pass pass) {
  const int64_t elements =
      geometry.x_shape().elements() + geometry.weight_shape().elements() + geometry.y_shape().elements();
  return {.op = "conv2d",
          .pass = pass,
          .flops = 2 * geometry.macs(),
          .executed_flops = 2 * plan.executed_macs,
          .bytes = static_cast<double>(elements) * static_cast<double>(size_of(dtype))};
}

}  // namespace poise
