// The weight of conv2d and linear where activations are bf16 and parameters f32: the kernels multiply by a copy of it
// in bf16, add the bias as it is, and write the gradients of both in f32.
#pragma once
#include "engine/ops/check.h"

namespace poise {

// The weight in the type that the kernels read. A copy is memory of the arena, which the node saves.
struct LayerWeight {
  Tensor value;
  bool is_copy;

  LayerWeight(Var weight, DType dtype) : value(weight.value()), is_copy(dtype != weight.dtype()) {
    if (!is_copy) return;
    Tape& t = *weight.tape;
    const Tensor from = value;
    value = t.alloc(from.shape, dtype);
    t.launch({"convert", Pass::forward}, t.ctx.kernels->convert, from, value);
  }
  Tensor copy() const { return is_copy ? value : Tensor{}; }
};

}  // namespace poise
