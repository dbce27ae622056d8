// From an element type at run time to a type at compile time, for the CPU kernels:
//   dispatch_stored(y.dtype, [&]<class T>() { T* out = y.data<T>(); ... });
//
// bf16 is a type of memory, not of arithmetic. A kernel that takes it reads computed(x[i]) and writes stored<T>(...);
// for f32 and f64 both are the number itself.
#pragma once
#include "kernels/core/dtype.h"
#include "kernels/core/error.h"

namespace poise {

// What the CPU computes in where activations are stored as T; also the type of parameters, statistics and their
// gradients beside them.
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

// Of what is never bf16: parameters, statistics, losses.
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

// Of activations.
template <class F>
void dispatch_stored(DType dtype, const F& f) {
  if (dtype == DType::bf16) {
    f.template operator()<bf16>();
  } else {
    dispatch_float(dtype, f);
  }
}

}  // namespace poise
