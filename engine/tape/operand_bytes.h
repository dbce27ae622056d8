// The least that a kernel must move: the bytes of its operands and results, each counted once. Tape::launch adds this
// up over everything that it passes to a kernel: tensors (0 if empty), structs that list their tensors(), and ranges of
// these. Options and an Arena::Scratch count as 0.
#pragma once
#include <ranges>

#include "kernels/core/tensor.h"

namespace poise {

template <class T>
double operand_bytes(const T& operand) {
  if constexpr (std::is_same_v<T, Tensor>) {
    return operand ? static_cast<double>(operand.size_bytes()) : 0.0;
  } else if constexpr (requires { operand.tensors(); }) {
    double bytes = 0;
    for (const Tensor* tensor : operand.tensors()) bytes += operand_bytes(*tensor);
    return bytes;
  } else if constexpr (std::ranges::range<T>) {
    double bytes = 0;
    for (const auto& element : operand) bytes += operand_bytes(element);
    return bytes;
  } else {
    return 0;
  }
}

}  // namespace poise
