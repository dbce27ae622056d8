// What the switch needs to know of execution weight by weight (weights_conv2d.h), in addition to its plans.
#pragma once
#include "kernels/sparse/weights/weight_index.h"

namespace poise {

// Sixteen lanes (images, or stripes of fewer images) are computed at once. The average share of lanes in use: 1 for 16
// images of any size or for 8 of an even number of rows, 0.5 for 8 of a single pixel.
double weights_conv2d_full_share(const Conv2dGeometry& geometry);

// Bytes of lists with this share of all entries, and of the lists that have been built.
size_t weight_index_bytes(const WeightIndex& index, double share);
size_t weight_index_bytes(const WeightIndex& index);

}  // namespace poise
