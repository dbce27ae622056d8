// The weights of a network in the form in which kernels read them: in the type of activations and, on GPUs, folded if a
// layer upsamples (upsample_fold.h) or pools (pooling_fold.h), and padded to whole vectors of channels. They are
// derived for all layers at once when the weights are known, not by each pass that reads them; a dense convolution that
// is given the plain weight derives its own.
#pragma once
#include <array>
#include <span>

#include "kernels/dense/conv2d/conv2d.h"

namespace poise {

// [C_out,taps,taps,channels], or the weight's own shape if kernels on this device read it as it is.
using Conv2dWeightShape = Shape(const Context&, const Conv2dGeometry&, DType);

struct DerivedWeight {
  Conv2dGeometry geometry;  // a dense_form(), except for the size of x; not used where the shape stays
  Tensor weight;            // f32
  Tensor derived;           // result, f32 or bf16: summed in f32, rounded once

  auto tensors() const { return std::array{&weight, &derived}; }
};
using DeriveWeights = void(Context&, std::span<const DerivedWeight>);

}  // namespace poise
