// How much faster execution weight by weight is than dense execution where nobody measured this layer on this machine:
// the least that crossover_bench measured of layers of its kind on one (typical_weights.cpp).
#pragma once
#include <utility>
#include <vector>

#include "engine/sparse/cell.h"
#include "kernels/dense/conv2d/conv2d.h"

namespace poise {

using SpeedupPoints = std::vector<std::pair<double, double>>;  // (density, speed-up), densities rising

// Of full groups of sixteen images.
SpeedupPoints typical_weights_speedups(const Conv2dGeometry& geometry, Pass pass, const Cell& cell);

}  // namespace poise
