// What decides which cells live: one number per cell, f32, never negative.
//
//   score(cell) = sqrt( sum of x^2 over the cell / weights in the cell )      |x| for a cell of one weight
//
// of a weight's values (how much is lost if the cell dies) or of its dense gradients (how much it would move if it
// lived). The division makes cells of different sizes comparable. The sum runs in double, row after row of the cell,
// tap after tap, so that every device finds the same bits: masks hang on them.
#pragma once
#include "kernels/core/context.h"
#include "kernels/core/philox.h"
#include "kernels/sparse/masks/cells.h"

namespace poise {

// values: a weight of grid.weights() elements; scores f32 [grid.cells()].
using CellScores = void(Context&, const CellGrid&, const Tensor& values, Tensor& scores);
// Uniform in (0, 1): functions of (seed, stream, StepState::step, index) alone. scores f32 [any].
using RandomScores = void(Context&, RandomStream, Tensor& scores);

}  // namespace poise
