// The weights of a network in the form in which kernels read them: in the type of activations, and on GPUs folded, where a
// layer enlarges (upsample_fold.h) or pools (pooling_fold.h), and padded to whole vectors of channels. Made for all layers
// at once when the weights are known, instead of by each pass that reads them; a dense convolution that is given the weight
// as it is makes its own.
#pragma once
#include <array>
#include <span>

#include "kernels/dense/conv2d/conv2d.h"

namespace poise {

// [C_out,taps,taps,channels]. The weight's own shape: kernels on this device read it as it is.
using Conv2dWeightShape = Shape(const Context&, const Conv2dGeometry&, DType);

struct DerivedWeight {
  Conv2dGeometry geometry;  // but for the size of x, of a dense_form(); without a meaning where the shape stays
  Tensor weight;            // f32
  Tensor derived;           // result, f32 or bf16: summed in f32, rounded once

  auto tensors() const { return std::array{&weight, &derived}; }
};
using DeriveWeights = void(Context&, std::span<const DerivedWeight>);

}  // namespace poise
