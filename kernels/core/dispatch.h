// Dispatch from a run-time element type to a compile-time type, for the CPU kernels:
//   dispatch_stored(y.dtype, [&]<class T>() { T* out = y.data<T>(); ... });
//
// bf16 is a storage type only. A kernel that accepts it reads computed(x[i]) and writes stored<T>(...); for f32 and f64
// both return the number unchanged.
#pragma once
#include "kernels/core/dtype.h"
#include "kernels/core/error.h"

namespace poise {

// The type that the CPU computes in if activations are stored as T. Also the type of parameters, statistics and their
// gradients in that case.
template <class T>
using Computed = std::conditional_t<std::is_same_v<T, bf16>, float, T>;

template <class T>
constexpr Computed<T> computed(T x) {
  if constexpr (std::is_same_v<T, bf16>) {
    return to_float(x);
  } else {
    return x;
  }
}

template <class T, class Number>
constexpr T stored(Number x) {
  if constexpr (std::is_same_v<T, bf16>) {
    return to_bf16(static_cast<float>(x));
  } else {
    return static_cast<T>(x);
  }
}

// For tensors that are never bf16: parameters, statistics, losses.
template <class F>
void dispatch_float(DType dtype, const F& f) {
  switch (dtype) {
    case DType::f32:
      f.template operator()<float>();
      return;
    case DType::f64:
      f.template operator()<double>();
      return;
    default:
      fail(ErrorKind::runtime, std::string("the CPU computes in f32 and f64 but got ") + name_of(dtype));
  }
}

// For activations.
template <class F>
void dispatch_stored(DType dtype, const F& f) {
  if (dtype == DType::bf16) {
    f.template operator()<bf16>();
  } else {
    dispatch_float(dtype, f);
  }
}

}  // namespace poise
