// Bias of layers with weights: added to every row of an output, and its gradient, the sums of the columns. Both in a
// fixed order; bytes: the tensor once.
#pragma once
#include "kernels/gpu/gpu.h"

namespace poise::POISE_GPU {

// y[row, c] += bias[c]
void add_bias(Context& ctx, const Tensor& bias, Tensor& y);

// Sums of columns in two passes. The first cuts the rows into ranges: partial[range, c] = sum of from[row, c] over the
// rows of a range. It is a launch of its own (below), or done by blocks that the kernel of a weight gradient has
// besides its own (column_sums.cuh). The second adds up the ranges in their order.
struct ColumnSums {
  const void* from = nullptr;  // [rows][channels], bf16 or f32
  int rows = 0, channels = 0, ranges = 0;
  float* partial = nullptr;  // [ranges][channels]; null: no sums are wanted

  // sums[c], by whichever thread asks.
  __device__ float total(int c) const {
    float sum = 0;
    for (int range = 0; range < ranges; ++range) sum += partial[int64_t{range} * channels + c];
    return sum;
  }
};

// As many as there are worth having.
int64_t column_sum_ranges(int64_t rows);
// Of from [rows][channels]; `partial` has column_sum_ranges(rows) * channels elements, or is null.
ColumnSums sums_of_columns(const void* from, int64_t rows, int64_t channels, float* partial);

// sums[c] = sum_row from[row, c]; f32. `partial` as above.
void column_sums(Context& ctx, const Tensor& from, float* partial, float* sums);

}  // namespace poise::POISE_GPU
