// From an element type at run time to a type at compile time:
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
      require(false, "this kernel exists for f32 and f64 only");
  }
}

}  // namespace poise
