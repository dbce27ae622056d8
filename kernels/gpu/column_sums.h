// The bias of layers with weights: added to every row of an output; and its gradient, the sums of the columns. Both
// have a fixed order. Memory traffic: the tensor once.
#pragma once
#include "kernels/gpu/gpu.h"

namespace poise::POISE_GPU {

// y[row, c] += bias[c]
void add_bias(Context& ctx, const Tensor& bias, Tensor& y);

// Sums of columns in two passes. The first cuts the rows into ranges: partial[range, c] = sum of from[row, c] over the
// rows of a range. It has its own launch (below), or runs in extra blocks of a weight gradient's kernel
// (column_sums.cuh). The second adds up the ranges in order.
struct ColumnSums {
  const void* from = nullptr;  // [rows][channels], bf16 or f32
  int rows = 0, channels = 0, ranges = 0;
  float* partial = nullptr;  // [ranges][channels]; null: no sums are needed

  // The final sum of column c.
  __device__ float total(int c) const {
    float sum = 0;
    for (int range = 0; range < ranges; ++range) sum += partial[int64_t{range} * channels + c];
    return sum;
  }
};

// The number of ranges to use.
int64_t column_sum_ranges(int64_t rows);
// Describes the sums of from [rows][channels]. `partial`: column_sum_ranges(rows) * channels elements, or null.
ColumnSums sums_of_columns(const void* from, int64_t rows, int64_t channels, float* partial);

// sums[c] = sum_row from[row, c]; f32. `partial` as above.
void column_sums(Context& ctx, const Tensor& from, float* partial, float* sums);

}  // namespace poise::POISE_GPU
