// Integer arithmetic.
#pragma once
#include "kernels/core/host_device.h"

namespace poise {

// a / b, rounded up.   a >= 0, b > 0
template <class A, class B>
POISE_HOST_DEVICE constexpr auto ceil_div(A a, B b) {
  return (a + b - 1) / b;
}

}  // namespace poise
