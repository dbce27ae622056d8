// Values that are written when they are first read (Tape::record_unwritten).
#include <algorithm>

#include "engine/tape/tape.h"

namespace poise {

Var Tape::record_unwritten(const Node& node, Var x, const Tensor& xv, const Normalisation& normalisation) {
  Node without_saved = node;
  without_saved.saved = {};  // without gradients they would be given back, and may be read yet
  const Var y = record(without_saved);
  nodes_.back().saved = node.saved;
  unwritten_.push_back({.id = y.id, .x = x.id, .input = {xv, normalisation}});
  return y;
}

std::vector<Tape::Unwritten>::const_iterator Tape::find_unwritten(int id) const {
  return std::find_if(unwritten_.begin(), unwritten_.end(), [&](const Unwritten& u) { return u.id == id; });
}

LayerInput Tape::layer_input(Var x, bool writes) {
  const auto found = find_unwritten(x.id);
  if (found == unwritten_.end()) return x.value();
  LayerInput input = found->input;
  if (!writes) return input;
  unwritten_.erase(found);
  input.written = slots_[x.id].value;
  return input;
}

void Tape::write(int id) {
  const auto found = find_unwritten(id);
  if (found == unwritten_.end()) return;
  const LayerInput input = found->input;
  unwritten_.erase(found);
  Slot& slot = slots_[id];
  const std::string* reader = std::exchange(scope_, slot.scope);
  launch({nodes_[slot.node].name, Pass::forward}, ctx.kernels->batch_norm_normalise, input.normalisation, input.x,
         slot.value);
  scope_ = reader;
}

void Tape::forget_unwritten(int id) {
  const auto found = find_unwritten(id);
  if (found != unwritten_.end()) unwritten_.erase(found);
}

}  // namespace poise
