// Includes nothing with code in it, as kernels/sparse/weights/weight_tiles_body.h says why.
#pragma once
#include <cstdint>

namespace poise::cpu {

// Of a part of some rows, channel by channel: a value near the mean, which is that of the first few rows, and the sums of
// deviations from it and of their squares.
struct MomentSums {
  float *centre, *deviation, *square;
  int64_t rows = 0;  // with none, the others mean nothing yet
};

// Of a part of some rows of a gradient that passes an activation, channel by channel: its sums, and those of its products with
// deviations (InputGradient).
struct GradientSums {
  float *gradient, *product;
};

}  // namespace poise::cpu
