// How much faster execution weight by weight is than dense execution, for layers that were not measured on this
// machine: the smallest speed-up of layers of the same kind on another one (typical_weights.cpp).
#pragma once
#include <utility>
#include <vector>

#include "engine/sparse/cell.h"
#include "kernels/dense/conv2d/conv2d.h"

namespace poise {

using SpeedupPoints = std::vector<std::pair<double, double>>;  // (density, speed-up), densities rising

// Layers with fewer channels on either side, such as those that read or write images, are not covered.
constexpr int64_t kFewestTypicalChannels = 16;

// For full groups of sixteen images. Empty if nothing is known about such layers.
SpeedupPoints typical_weights_speedups(const Conv2dGeometry& geometry, Pass pass, const Cell& cell);

}  // namespace poise
