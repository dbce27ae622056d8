// The scores that decide which cells live: one number per cell, f32, never negative.
//
//   score(cell) = sqrt( sum of x^2 over the cell / weights in the cell )      |x| for a cell of one weight
//
// x is either the weight's values (how much is lost if the cell dies) or its dense gradients (how much the cell would
// move if it lived). The division makes cells of different sizes comparable. The sum is in double, row by row and tap
// by tap within the cell, so that every device computes the same bits: masks depend on them.
#pragma once
#include "kernels/core/context.h"
#include "kernels/core/philox.h"
#include "kernels/sparse/masks/cells.h"

namespace poise {

// values: a weight of grid.weights() elements; scores f32 [grid.cells()].
using CellScores = void(Context&, const CellGrid&, const Tensor& values, Tensor& scores);
// Scores uniform in (0, 1) that depend on (seed, stream, StepState::step, index) alone. scores f32 [any].
using RandomScores = void(Context&, RandomStream, Tensor& scores);

}  // namespace poise
