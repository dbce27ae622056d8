// What conv2d and linear do with dtypes: activations and weights agree, or the activations are bf16 and the parameters
// f32. Then the kernels multiply by a copy of the weight in bf16, add the bias as it is, and write its gradient and the
// weight's in f32.
#pragma once
#include "engine/ops/check.h"

namespace poise {

inline void check_layer_operands(const char* op, Var x, Var weight, Var bias) {
  const bool mixed = x.dtype() == DType::bf16 && weight.dtype() == DType::f32;
  if (!mixed) check_operands(op, x, weight);
  check(*x.tape, weight.tape == x.tape && (!bias.tape || bias.tape == x.tape),
        [&] { return std::string(op) + ": operands live on different tapes"; });
  check(*x.tape, x.dtype() != DType::bf16 || mixed,
        [&] { return std::string(op) + " expects weight f32 for input bf16 but got " + name_of(weight.dtype()); });
  check(*x.tape, !bias.tape || bias.dtype() == weight.dtype(), [&] {
    return std::string(op) + " expects bias " + name_of(weight.dtype()) + " as its weight but got " +
           name_of(bias.dtype());
  });
}

// The weight as the kernels want it. A copy lies in the arena until recycle(), which the last pass that reads it calls.
struct LayerWeight {
  Tensor value;
  bool is_copy;

  LayerWeight(Var weight, DType dtype) : value(weight.value()), is_copy(dtype != weight.dtype()) {
    if (!is_copy) return;
    Tape& t = *weight.tape;
    const Tensor from = value;
    value = t.alloc(from.shape, dtype);
    t.launch(memory_work("convert", Pass::forward, {&from, &value}), t.ctx.kernels->convert, from, value);
  }
  void recycle(const Context& ctx) const {
    if (is_copy) ctx.arena->recycle(value);
  }
};

}  // namespace poise
