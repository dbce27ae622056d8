// The weight of conv2d and linear. Where activations are bf16 and parameters f32 the kernels multiply by a copy of it in bf16,
// add the bias as it is, and write the gradients of both in f32. The copy is that of the network (Tape::set_forms) or, where
// there is none, the layer's own. Dense convolutions read the network's derived form, if it has made one.
#pragma once
#include "engine/ops/layer_pass.h"

namespace poise {

// An own copy is memory of the arena.
struct LayerWeight {
  Tensor value;    // in the type that the kernels read
  Tensor derived;  // or empty
  bool is_copy;

  LayerWeight(Var weight, DType dtype) : value(weight.as(dtype)), derived(weight.derived()), is_copy(!value) {
    if (!is_copy) return;
    Tape& t = *weight.tape;
    const Tensor from = weight.value();
    value = t.alloc(from.shape, dtype);
    t.launch({"convert", Pass::forward}, t.ctx.kernels->convert, from, value);
  }
  const Tensor& read_by(const LayerPass& pass) const { return pass.is_dense() && derived ? derived : value; }
  // What the node of a layer with input x saves of it; to be asked after the forward pass. The backward pass reads the
  // weight for x's gradient alone: a network's first layer gives the copy back at once.
  Tensor saved_for(Var x) const {
    if (is_copy && !x.requires_grad()) x.tape->ctx.arena->recycle(value);
    return is_copy && x.requires_grad() ? value : Tensor{};
  }
};

}  // namespace poise
