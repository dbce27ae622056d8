// The weight of conv2d and linear. If activations are bf16 and parameters f32, the kernels multiply by a bf16 copy of
// the weight, add the bias in f32, and write the gradients of both in f32. The copy belongs to the network
// (Tape::set_forms) or, if that has none, to the layer. Dense convolutions read the network's derived form, if any.
#pragma once
#include "engine/ops/layer_pass.h"

namespace poise {

// The layer's own copy is in arena memory.
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
  // What the node of a layer with input x has to save; call this after the forward pass. The backward pass reads the
  // weight only for x's gradient, so a network's first layer returns its copy to the arena at once.
  Tensor saved_for(Var x) const {
    if (is_copy && !x.requires_grad()) x.tape->ctx.arena->recycle(value);
    return is_copy && x.requires_grad() ? value : Tensor{};
  }
};

}  // namespace poise
