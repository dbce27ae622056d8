// How far results may be from f64, relative to the largest element. Limits depend on the precision, never on the op.
#pragma once
#include "kernels/core/dtype.h"

namespace poise {

constexpr Precision kAllPrecisions[] = {Precision::fp32, Precision::tf32, Precision::bf16};

constexpr double limit_of(Precision precision) {
  switch (precision) {
    case Precision::fp32:
      return 1e-5;
    case Precision::tf32:
      return 2e-3;
    case Precision::bf16:
      return 1e-2;
  }
  return 0;
}

}  // namespace poise
