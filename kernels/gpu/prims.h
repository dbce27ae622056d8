// Device-wide primitives: scan, sort, reduce, select. On CUDA they are CUB's; on the emulated device they are plain
// loops in the stream. Both give the same results for the same inputs (f32 sums up to rounding), and always the same
// bits on one device. The workspace, u8, has at least the number of bytes that the query returned for the same n.
#pragma once
#include "kernels/core/context.h"

namespace poise::gpu {

enum class Order : uint8_t { ascending, descending };

struct Prims {
  // y[i] = x[0] + .. + x[i-1], y[0] = 0.   x, y i32 [n]; they may be the same.
  size_t (*exclusive_scan_workspace)(int64_t n);
  void (*exclusive_scan)(Context&, const Tensor& x, Tensor& workspace, Tensor& y);

  // Sorts keys together with their values. The sort is stable, and -0 equals +0. NaN is not allowed.
  // keys, sorted_keys f32 [n]; values, sorted_values i32 [n]. Inputs and outputs do not overlap.
  size_t (*sort_pairs_workspace)(int64_t n);
  void (*sort_pairs)(Context&, Order, const Tensor& keys, const Tensor& values, Tensor& workspace, Tensor& sorted_keys,
                     Tensor& sorted_values);

  // sum [1] = x[0] + .. + x[n-1], in an order that depends on n alone.   x [n]; both f32 or both i32.
  size_t (*reduce_sum_workspace)(int64_t n);
  void (*reduce_sum)(Context&, const Tensor& x, Tensor& workspace, Tensor& sum);

  // Copies the x[i] with nonzero flags[i] to y, in order; count [1] receives their number. The rest of y is unchanged.
  // x, y i32 [n]; flags u8 [n]; count i32 [1].
  size_t (*select_flagged_workspace)(int64_t n);
  void (*select_flagged)(Context&, const Tensor& x, const Tensor& flags, Tensor& workspace, Tensor& y, Tensor& count);
};

// The primitives of a device (not the CPU). Throws Error(environment) if this build has none for it.
const Prims& prims(Device device);

}  // namespace poise::gpu

namespace poise::cuda {
const gpu::Prims& prims();
}
namespace poise::emulated {
const gpu::Prims& prims();
}
