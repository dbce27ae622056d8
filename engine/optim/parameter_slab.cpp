#include "engine/optim/parameter_slab.h"

#include "engine/ops/derived_weights.h"

namespace poise {
namespace {
int64_t padded(int64_t elements, DType dtype) {
  return static_cast<int64_t>(align_up(static_cast<size_t>(elements) * size_of(dtype)) / size_of(dtype));
}
}  // namespace

ParameterSlab::ParameterSlab(Module& root, DType dtype, Memory memory, bool with_ema) {
  int64_t parameter_elements = 0, buffer_elements = 0;
  root.for_each_parameter([&](Parameter& p) {
    parameters += p.shape.elements();
    parameter_elements += padded(p.shape.elements(), dtype);
  });
  root.for_each_buffer([&](StateBuffer& b) { buffer_elements += padded(b.shape.elements(), dtype); });

  // [value | grad | m | v | ema | buffers]; ema only with_ema.
  const size_t section = static_cast<size_t>(parameter_elements) * size_of(dtype);
  const size_t sections = with_ema ? 5 : 4;
  bytes = sections * section + static_cast<size_t>(buffer_elements) * size_of(dtype);
  memory_ = MemoryBlock(bytes, memory);
  auto place = [&](size_t offset, const Shape& shape) {
    return Tensor{.bytes = memory_.bytes() + offset, .shape = shape, .dtype = dtype, .device = memory.device};
  };
  const Shape flat{parameter_elements};
  value = place(0, flat);
  grad = place(section, flat);
  adam_m = place(2 * section, flat);
  adam_v = place(3 * section, flat);
  if (with_ema) ema = place(4 * section, flat);

  size_t offset = 0;
  root.for_each_parameter([&](Parameter& p) {
    auto view = [&](const Tensor& whole, size_t start) { return whole ? place(start + offset, p.shape) : Tensor{}; };
    entries_.push_back({.path = p.path,
                        .value = view(value, 0),
                        .grad = view(grad, section),
                        .adam_m = view(adam_m, 2 * section),
                        .adam_v = view(adam_v, 3 * section),
                        .ema = view(ema, 4 * section)});
    p.value = entries_.back().value;
    p.grad = entries_.back().grad;
    offset += static_cast<size_t>(padded(p.shape.elements(), dtype)) * size_of(dtype);
  });
  offset = sections * section;
  root.for_each_buffer([&](StateBuffer& b) {
    b.value = place(offset, b.shape);
    buffers_.push_back({.path = b.path, .value = b.value});
    offset += static_cast<size_t>(padded(b.shape.elements(), dtype)) * size_of(dtype);
  });
}

// With bf16, the converted slab comes first. Then there is a form for each parameter.
DerivedWeights ParameterSlab::collect_forms(Tape& tape, Module& root) const {
  DerivedWeights derived(tape);
  if (derived.dtype() == DType::bf16) derived.add_converted(value);
  root.for_each_parameter([&](Parameter& p) { derived.add_convolution(&p, p.value); });
  if (forms_) derived.place_in(forms_);
  return derived;
}

void ParameterSlab::keep_forms(Tape& tape, Module& root, Memory memory) {
  const DerivedWeights derived = collect_forms(tape, root);
  const size_t size = static_cast<size_t>(derived.shape().elements()) * size_of(derived.dtype());
  if (size == 0) return;
  forms_memory_ = MemoryBlock(size, memory);
  forms_ = {
      .bytes = forms_memory_.bytes(), .shape = derived.shape(), .dtype = derived.dtype(), .device = memory.device};
  bytes += size;
}

void ParameterSlab::make_forms(Tape& tape, Module& root) const {
  if (forms_) collect_forms(tape, root).launch();
}

Var ParameterSlab::derive_weights(Tape& tape, Module& root) const {
  DerivedWeights derived = collect_forms(tape, root);
  const Var all = forms_ ? Var{} : derived.make();
  if (!forms_ && !all.tape) return {};
  const bool narrows = derived.dtype() == DType::bf16;
  size_t count = narrows ? 1 : 0;
  root.for_each_parameter([&](Parameter& p) {
    const int64_t first = p.value.data<float>() - value.data<float>();
    const Tensor& form = derived.of(count++);
    if (p.role != ParameterRole::weight && p.role != ParameterRole::unmasked_weight) return;
    const Tensor narrow = narrows ? derived.of(0).slice(first, p.shape.elements()).reshaped(p.shape) : Tensor{};
    tape.set_forms(tape.parameter(p), narrow, form);
  });
  return all;
}

void ParameterSlab::copy_value_to_ema(Context& ctx) {
  require(static_cast<bool>(ema), "this slab keeps no moving average");
  ctx.kernels->copy(ctx, value, ema);
}

void ParameterSlab::swap_value_and_ema(Context& ctx) {
  require(static_cast<bool>(ema), "this slab keeps no moving average");
  ctx.kernels->copy(ctx, value, grad);
  ctx.kernels->copy(ctx, ema, value);
  ctx.kernels->copy(ctx, grad, ema);
}

}  // namespace poise
