// f32 copies of bf16 operands, for CPU kernels that compute on f32. They are at the start of the workspace.
//
//   Widened wide(ctx, workspace);
//   const Tensor x32 = wide.in(x);
//   Tensor y32 = wide.out(y), rest = wide.rest();
//   kernel(ctx, x32, rest, y32);
//   wide.finish();                        // rounds y32 to y
#pragma once
#include <initializer_list>

#include "kernels/core/context.h"
#include "kernels/core/workspace_layout.h"

namespace poise::cpu {

// How much f32 copies of tensors of these shapes add to the workspace.
inline size_t widened_bytes(std::initializer_list<Shape> shapes) {
  size_t bytes = 0;
  for (const Shape& shape : shapes) bytes += align_up(static_cast<size_t>(shape.elements()) * sizeof(float));
  return bytes;
}

class Widened {
 public:
  Widened(Context& ctx, const Tensor& workspace) : ctx_(ctx), workspace_(workspace), layout_(workspace.bytes) {}

  Tensor in(const Tensor& narrow);  // an f32 copy
  // An f32 result for `narrow`: uninitialised or, with as_it_is, a copy that the kernel updates. One per kernel.
  Tensor out(const Tensor& narrow, bool as_it_is = false);
  Tensor rest();  // the rest of the workspace, for the kernel
  void finish();  // rounds the tensor of out() to its bf16 original

 private:
  Context& ctx_;
  Tensor workspace_, wide_, narrow_;
  WorkspaceLayout layout_;
};

}  // namespace poise::cpu
