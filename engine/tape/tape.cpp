#include "engine/tape/tape.h"

#include <algorithm>

#include "kernels/gpu/runtime.h"

namespace poise {

const std::string Tape::kNoScope;

const Tensor& Var::value() const {
  tape->write(id);
  const Tensor& value = tape->slots_[id].value;
  require(value || value.elements() == 0, "a value must be read before its memory is released");
  return value;
}
Tensor Var::as(DType dtype) const {
  if (dtype == value().dtype) return value();
  return dtype == DType::bf16 ? tape->slots_[id].narrow : Tensor{};
}
Tensor Var::derived() const { return tape->slots_[id].derived; }
Tensor Var::rectified() const { return tape->slots_[id].rectified; }
const Parameter* Var::parameter() const { return tape->slots_[id].parameter; }
const Shape& Var::shape() const { return tape->slots_[id].value.shape; }
DType Var::dtype() const { return tape->slots_[id].value.dtype; }
bool Var::requires_grad() const { return tape->slots_[id].requires_grad; }

Var Tape::add_slot(const Slot& slot) {
  slots_.push_back(slot);
  slots_.back().scope = scope_;
  return {this, static_cast<int>(slots_.size()) - 1};
}

Var Tape::constant(const Tensor& value) { return add_slot({.value = value, .kind = Kind::constant}); }

Var Tape::variable(const Tensor& value) {
  return add_slot({.value = value, .kind = Kind::variable, .requires_grad = !no_grad_});
}

Var Tape::parameter(Parameter& parameter) {
  const bool requires_grad = parameter.requires_grad && !no_grad_;
  // A parameter used twice in a step is one leaf: its gradient is the sum over both uses.
  for (int id = 0; id < size(); ++id) {
    if (slots_[id].parameter == &parameter && slots_[id].requires_grad == requires_grad) return {this, id};
  }
  return add_slot(
      {.value = parameter.value, .parameter = &parameter, .kind = Kind::parameter, .requires_grad = requires_grad});
}

Var Tape::record(const Node& node) {
  bool requires_grad = false;
  for (const Var& x : node.inputs) requires_grad = requires_grad || (x.tape && slots_[x.id].requires_grad);
  requires_grad = requires_grad && !no_grad_ && node.backward;
  nodes_.push_back(node);
  if (!requires_grad) release_saved(nodes_.back());
  return add_slot({.value = node.output,
                   .node = static_cast<int>(nodes_.size()) - 1,
                   .kind = Kind::result,
                   .requires_grad = requires_grad});
}

void Tape::keep(Var var) {
  require(static_cast<bool>(slots_[var.id].value), "keep() must be called before a value's memory is released");
  write(var.id);
  slots_[var.id].kept = true;
  const int node = slots_[var.id].node;
  if (node >= 0 && nodes_[node].is_view) keep(nodes_[node].inputs[0]);
}

void Tape::backward(Var loss, double seed) {
  require(loss.value().elements() == 1, "backward() starts from a scalar; backward_from() from any shape");
  Tensor gradient = alloc(loss.shape(), loss.dtype());
  ctx.kernels->fill(ctx, seed, gradient);
  backward_from(loss, gradient);
}

void Tape::backward_from(Var output, const Tensor& gradient) {
  require(output.tape == this && slots_[output.id].requires_grad, "backward() needs an output that depends on a leaf");
  slots_[output.id].gradient = gradient;
  const std::string* saved = scope_;
  count_readers(output.id);
  for (int id = output.id; id >= 0; --id) differentiate(id);
  for (const Slot& slot : slots_) {
    const bool unreached = slot.kind == Kind::parameter && slot.requires_grad && !slot.gradient;
    if (unreached) ctx.kernels->fill(ctx, 0.0, slot.parameter->grad);
  }
  scope_ = saved;
}

// Counts the readers of slots up to `last`. A slot that a node reads twice has two readers.
void Tape::count_readers(int last) {
  for (int id = 0; id <= last; ++id) {  // a node reads slots before its own
    Slot& slot = slots_[id];
    slot.readers = 0;
    if (slot.kind != Kind::result || slot.differentiated || !slot.requires_grad) continue;
    for (const Var& x : nodes_[slot.node].inputs) {
      if (x.tape) ++slots_[x.id].readers;
    }
  }
}

void Tape::differentiate(int id) {
  if (slots_[id].kind != Kind::result || slots_[id].differentiated) return;
  const int first = id - nodes_[slots_[id].node].place, last = first + nodes_[slots_[first].node].batch - 1;
  bool reached = false;
  for (int i = first; i <= last; ++i) {
    slots_[i].differentiated = true;
    reached = reached || (slots_[i].requires_grad && slots_[i].gradient);
  }
  Node& node = nodes_[slots_[first].node];
  scope_ = slots_[first].scope;
  if (reached) {
    Grads grads(*this, first);
    if (!node.reads_output) release_value(slots_[first], node);
    node.backward(grads);
  }
  for (int i = first; i <= last; ++i) {
    release(slots_[i], nodes_[slots_[i].node]);
    for (const Var& x : nodes_[slots_[i].node].inputs) {
      if (x.tape && slots_[i].requires_grad && --slots_[x.id].readers == 0) all_readers_done(slots_[x.id], x.id);
    }
  }
}

bool Tape::batch_is_read(int first) const {
  const auto begin = slots_.begin() + first;
  return std::all_of(begin, begin + nodes_[slots_[first].node].batch, [](const Slot& s) { return s.readers == 0; });
}

void Tape::all_readers_done(const Slot& slot, int id) {
  if (slot.kind == Kind::parameter && slot.requires_grad && gradient_is_final) gradient_is_final(*slot.parameter);
  if (slot.kind != Kind::result) return;
  const auto is_no_result = [this](Var x) { return !x.tape || slots_[x.id].kind != Kind::result; };
  const Node& node = nodes_[slot.node];
  const bool of_leaves = std::all_of(node.inputs.begin(), node.inputs.end(), is_no_result);
  if (of_leaves && batch_is_read(id - node.place)) differentiate(id);
}

int Tape::reads_of(int id, bool in_backward_pass) const {
  int reads = 0;
  for (const Node& node : nodes_)
    for (const Var& x : node.inputs) reads += x.tape && x.id == id && (node.reads_inputs || !in_backward_pass);
  return reads;
}

Tensor Tape::take_if_unread(Var x) {
  Slot& slot = slots_[x.id];
  if (slot.kind != Kind::result || slot.kept || reads_of(x.id, true) > 0) return {};
  const Node& own = nodes_[slot.node];
  if (own.is_view || (slot.requires_grad && own.reads_output)) return {};
  const Tensor memory = slot.value;
  slot.value.bytes = nullptr;  // shape and dtype stay readable
  return memory;
}

void Tape::release_value(Slot& slot, const Node& node) {
  forget_unwritten(static_cast<int>(&slot - slots_.data()));
  if (slot.kept || node.is_view || !slot.value) return;
  ctx.arena->recycle(slot.value);
  slot.value.bytes = nullptr;  // shape and dtype stay readable
}

void Tape::release_saved(Node& node) {
  for (Tensor& saved : node.saved) {
    if (saved) ctx.arena->recycle(saved);
    saved = {};
  }
}

// Called when everything that reads this value, this gradient and what was saved has run.
void Tape::release(Slot& slot, Node& node) {
  if (slot.gradient) ctx.arena->recycle(slot.gradient);
  if (slot.sums.memory) ctx.arena->recycle(slot.sums.memory);
  slot.gradient = {}, slot.sums = {};
  release_saved(node);
  release_value(slot, node);
}

void Tape::release_all_but_last(int first) {
  const int last = size() - 1;
  if (const Normalised* const value = find_unwritten(last); value && value->x >= first) write(last);
  for (int id = first; id < last; ++id) {
    Slot& slot = slots_[id];
    const bool shared_with_last = slot.value.bytes == slots_[last].value.bytes;  // the last is a view of this one
    if (slot.kind == Kind::result && !shared_with_last) release(slot, nodes_[slot.node]);
  }
}

void Tape::reset() {
  nodes_.clear();
  slots_.clear();
  normalised_.clear();
}

void Tape::wait_for_device() {
  if (ctx.stream && !ctx.planning) gpu::runtime(ctx.device).synchronize(*ctx.stream);
}

void Tape::rethrow_with_scope(const Error& error) const {
  if (scope_->empty()) throw error;
  throw Error(error.kind(), *scope_ + ": " + error.what());
}

}  // namespace poise
