// From an element type at run time to a type at compile time, for the CPU kernels:
//   dispatch_float(y.dtype, [&]<class T>() { T* out = y.data<T>(); ... });
#pragma once
#include "kernels/core/dtype.h"
#include "kernels/core/error.h"

namespace poise {

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
      fail(ErrorKind::runtime, std::string("the CPU computes in f32 and f64 but got ") + name_of(dtype) +
                                   "; use --precision fp32, or a GPU");
  }
}

}  // namespace poise
