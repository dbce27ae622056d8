// A device for a test: an arena, a step, a context and a tape.
#pragma once
#include <vector>

#include "engine/tape/tape.h"
#include "kernels/sparse/masks/mask.h"

namespace poise {

struct TestContext {
  explicit TestContext(const KernelTable& kernels = cpu_reference_kernels(), size_t arena_bytes = size_t{1} << 24)
      : arena(arena_bytes, Device::cpu), ctx{.kernels = &kernels, .arena = &arena, .step = &step}, tape(ctx) {}

  Arena arena;
  StepState step;
  Context ctx;
  Tape tape;
};

// A tensor that owns its memory, with these elements.
template <class T>
OwnedTensor tensor_of(const Shape& shape, const std::vector<T>& values) {
  OwnedTensor owned(shape, dtype_of<T>(), Device::cpu);
  require(static_cast<size_t>(shape.elements()) == values.size(), "expected one value per element");
  copy_from_host(owned.tensor(), values.data());
  return owned;
}

template <class T>
std::vector<T> values_of(const Tensor& tensor) {
  std::vector<T> values(static_cast<size_t>(tensor.elements()));
  copy_to_host(values.data(), tensor);
  return values;
}

// 1 or 0 for each weight, from a mask with one byte per run of weights (kernels/sparse/masks/mask.h).
inline std::vector<uint8_t> alive_of(const Tensor& mask, const Tensor& weights) {
  const std::vector<uint8_t> bytes = values_of<uint8_t>(mask);
  const auto run = static_cast<size_t>(run_of(mask, weights));
  std::vector<uint8_t> alive(static_cast<size_t>(weights.elements()));
  for (size_t i = 0; i < alive.size(); ++i) alive[i] = bytes[i / run];
  return alive;
}

// A parameter that owns its memory.
struct OwnedParameter {
  OwnedParameter(const std::string& path, const Shape& shape, const std::vector<double>& values)
      : value(tensor_of(shape, values)), grad(shape, DType::f64, Device::cpu) {
    parameter.path = path;
    parameter.shape = shape;
    parameter.value = value.tensor();
    parameter.grad = grad.tensor();
  }
  OwnedTensor value, grad;
  Parameter parameter;
};

}  // namespace poise
