// Initial values, drawn on the host from Philox so that they depend on the seed and the parameter's path alone.
//
//   pytorch     weight and bias uniform(+-1/sqrt(fan_in))          (what torch.nn.Linear and Conv2d do by default)
//   xavier      weight uniform(+-sqrt(6/(fan_in+fan_out))), bias 0
//   kaiming     weight N(0, 2/fan_in), bias 0
//   orthogonal  weight [out, rest] with orthonormal rows or columns, bias 0
//   normal002   weight N(0, 0.02^2), bias as pytorch
//
// Embeddings start like weights, except for N(0, 1) under pytorch. Batch norm always starts with gamma 1 and beta 0, a
// gate with 0, and buffers as their role says.
#pragma once
#include "engine/io/enum_names.h"
#include "engine/nn/module.h"

namespace poise {

enum class InitScheme : uint8_t { pytorch, xavier, kaiming, orthogonal, normal002 };

template <>
struct EnumNames<InitScheme> {
  static constexpr NamedValue<InitScheme> all[] = {{InitScheme::pytorch, "pytorch"},
                                                   {InitScheme::xavier, "xavier"},
                                                   {InitScheme::kaiming, "kaiming"},
                                                   {InitScheme::orthogonal, "orthogonal"},
                                                   {InitScheme::normal002, "normal002"}};
};

// Fills every parameter and buffer of `root`, whose memory must have been laid out. dtype f32 or f64.
void initialise(Module& root, InitScheme scheme, uint64_t seed);

}  // namespace poise
