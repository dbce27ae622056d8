#include "kernels/core/widened.h"

#include "kernels/table.h"

namespace poise::cpu {

Tensor Widened::in(const Tensor& narrow) { return out(narrow, /*as_it_is=*/true); }

Tensor Widened::out(const Tensor& narrow, bool as_it_is) {
  narrow_ = narrow;
  wide_ = {.bytes = layout_.carve<float>(static_cast<size_t>(narrow.elements())),
           .shape = narrow.shape,
           .dtype = DType::f32,
           .device = narrow.device};
  if (as_it_is) convert(ctx_, narrow, wide_);
  return wide_;
}

Tensor Widened::rest() {
  Tensor rest = workspace_;
  rest.bytes = layout_.carve<char>(0);
  rest.shape = {static_cast<int64_t>(workspace_.size_bytes() - layout_.bytes())};
  return rest;
}

void Widened::finish() { convert(ctx_, wide_, narrow_); }

}  // namespace poise::cpu
