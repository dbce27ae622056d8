// How much faster execution weight by weight is than dense execution where nobody measured this layer on this machine:
// the least that layers of its kind gained on one (typical_weights.cpp).
#pragma once
#include <utility>
#include <vector>

#include "engine/sparse/cell.h"
#include "kernels/dense/conv2d/conv2d.h"

namespace poise {

using SpeedupPoints = std::vector<std::pair<double, double>>;  // (density, speed-up), densities rising

// Layers with fewer on either side, as those that read or write pictures, are no kind of these.
constexpr int64_t kFewestTypicalChannels = 16;

// Of full groups of sixteen images. Empty: nothing is known of such layers.
SpeedupPoints typical_weights_speedups(const Conv2dGeometry& geometry, Pass pass, const Cell& cell);

}  // namespace poise
