// Values that are written when they are first read (Tape::record_unwritten).
#include "engine/tape/tape.h"

namespace poise {

Var Tape::record_unwritten(const Node& node, Var x, const Tensor& xv, const Normalisation& normalisation) {
  Node without_saved = node;
  without_saved.saved = {};  // without gradients record() would recycle them, but they may still be read
  const Var y = record(without_saved);
  nodes_.back().saved = node.saved;
  normalised_.push_back({.id = y.id, .x = x.id, .input = {xv, normalisation}});
  return y;
}

const LayerInput* Tape::normalised_input(Var y) const {
  for (const Normalised& n : normalised_) {
    if (n.id == y.id) return &n.input;
  }
  return nullptr;
}

Tape::Normalised* Tape::find_unwritten(int id) {
  for (Normalised& n : normalised_) {
    if (n.id == id && !n.written) return &n;
  }
  return nullptr;
}

LayerInput Tape::layer_input(Var x, bool writes) {
  Normalised* const found = find_unwritten(x.id);
  if (!found) return x.value();
  LayerInput input = found->input;
  if (!writes) return input;
  found->written = true;
  input.written = slots_[x.id].value;
  return input;
}

void Tape::write(int id) {
  Normalised* const found = find_unwritten(id);
  if (!found) return;
  const LayerInput input = found->input;
  found->written = true;
  Slot& slot = slots_[id];
  const std::string* reader = std::exchange(scope_, slot.scope);
  launch({nodes_[slot.node].name, Pass::forward}, ctx.kernels->batch_norm_normalise, input.normalisation, input.x,
         slot.value);
  scope_ = reader;
}

void Tape::forget_unwritten(int id) {
  if (Normalised* const found = find_unwritten(id)) found->written = true;
}

}  // namespace poise
