// Between element types: to[i] = from[i], rounded to the nearest, ties to even. f32 to bf16, or bf16 to f32. Same
// shape.
#pragma once
#include "kernels/core/context.h"

namespace poise {

using Convert = void(Context&, const Tensor& from, Tensor& to);

}  // namespace poise
