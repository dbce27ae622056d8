// What the switch asks of execution weight by weight (weights_conv2d.h), besides its plans.
#pragma once
#include "kernels/sparse/weights/weight_index.h"

namespace poise {

// Sixteen images, or stripes of fewer, are computed at once. How many of them there are on average, as a part of 1: 1
// for 16 images of any size or for 8 of an even number of rows, 0.5 for 8 of a single pixel.
double weights_conv2d_full_share(const Conv2dGeometry& geometry);

// Of lists with this share of all entries; of the lists that have been built.
size_t weight_index_bytes(const WeightIndex& index, double share);
size_t weight_index_bytes(const WeightIndex& index);

}  // namespace poise
