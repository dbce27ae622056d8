// This header includes nothing that contains code; kernels/sparse/weights/weight_tiles_body.h explains why.
#pragma once
#include <cstdint>

namespace poise::cpu {

// Sums over a part of the rows, per channel: a centre near the mean (the mean of the first few rows), and the sums of
// the deviations from it and of their squares.
struct MomentSums {
  float *centre, *deviation, *square;
  int64_t rows = 0;  // if 0, the arrays are not yet initialised
};

// Sums over a part of the rows, per channel: of a gradient, taken as zero where the activation blocks it, and of its
// product with the deviation of x from the mean (InputGradient).
struct GradientSums {
  float *gradient, *product;
};

}  // namespace poise::cpu
