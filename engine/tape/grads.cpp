// How backward closures pass gradients on: whose memory these are in, and where they are added up.
#include <utility>

#include "engine/tape/tape.h"

namespace poise {

Tensor Grads::alloc(Var x) const {
  const auto& slot = tape_.slots_[x.id];
  if (slot.kind == Tape::Kind::parameter && slot.requires_grad && !slot.gradient) return slot.parameter->grad;
  return tape_.alloc(slot.value.shape, slot.value.dtype);
}

void Grads::add(Var x, const Tensor& dx) const {
  auto& slot = tape_.slots_[x.id];
  if (!slot.gradient) return static_cast<void>(slot.gradient = dx);
  tape_.launch({"add_gradients", Pass::backward}, kernels().add, slot.gradient, dx, slot.gradient);
  tape_.ctx.arena->recycle(dx);
}

Grads::ReluGradient Grads::take_over_relu(Var x, bool may_add) {
  auto& slot = tape_.slots_[x.id];
  if (slot.kind != Tape::Kind::result || slot.kept || slot.gradient || !slot.value) return {};
  const Node& own = tape_.nodes_[slot.node];
  if (!own.is_rectified || own.is_view || tape_.reads_of(x.id, false) != 1) return {};
  const Tensor behind = own.inputs[1].tape ? Tensor{} : tape_.slots_[own.inputs[0].id].gradient;
  if (may_add && behind) return {behind, true};
  slot.gradient_before_relu = true;
  slot.gradient = slot.value;
  slot.value.bytes = nullptr;
  return {slot.gradient, false};
}

void Grads::add_or_recycle(Var x, const Tensor& dx) {
  if (wants(x)) return add(x, dx);
  tape_.ctx.arena->recycle(dx);
}

void Grads::move_dy_to(Var x, const Shape& shape) {
  require(!moved_, "dy moves to one input only");
  auto& to = tape_.slots_[x.id];
  if (to.gradient || to.kind == Tape::Kind::parameter) return copy_dy_to(x);
  moved_ = true;
  to.gradient = std::exchange(tape_.slots_[slot_].gradient, Tensor{}).reshaped(shape);
}

void Grads::copy_dy_to(Var x) {
  auto& to = tape_.slots_[x.id];
  const Tensor source = dy().reshaped(to.value.shape);
  if (to.gradient)
    return tape_.launch({"add_gradients", Pass::backward}, kernels().add, to.gradient, source, to.gradient);
  Tensor dx = alloc(x);
  tape_.launch({"copy_gradient", Pass::backward}, kernels().copy, source, dx);
  to.gradient = dx;
}

}  // namespace poise
