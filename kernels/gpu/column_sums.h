// Bias of layers with weights: added to every row of an output, and its gradient, the sums of the columns. Both in a
// fixed order; bytes: the tensor once.
#pragma once
#include "kernels/gpu/gpu.h"

namespace poise::POISE_GPU {

// y[row, c] += bias[c]
void add_bias(Context& ctx, const Tensor& bias, Tensor& y);

// sums[c] = sum_row from[row, c]; f32. `partial` has column_sum_blocks(rows) * channels elements.
int64_t column_sum_blocks(int64_t rows);
void column_sums(Context& ctx, const Tensor& from, float* partial, float* sums);

}  // namespace poise::POISE_GPU
