// Converts f32 to bf16 or bf16 to f32: to[i] = from[i], rounded to nearest, ties to even. Both tensors have the same
// shape.
#pragma once
#include "kernels/core/context.h"

namespace poise {

using Convert = void(Context&, const Tensor& from, Tensor& to);

}  // namespace poise
