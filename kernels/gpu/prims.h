// Device-wide primitives: scan, sort, reduce, select. On CUDA they are CUB's, on the
// emulated device plain loops in the stream; both give the same results for the same inputs (f32 sums up to rounding)
// and, on one device, always the same bits. The workspace, u8, has at least the bytes asked for with the same n.
#pragma once
#include "kernels/core/context.h"

namespace poise::gpu {

enum class Order : uint8_t { ascending, descending };

struct Prims {
  // y[i] = x[0] + .. + x[i-1], y[0] = 0.   x, y i32 [n]; they may be the same.
  size_t (*exclusive_scan_workspace)(int64_t n);
  void (*exclusive_scan)(Context&, const Tensor& x, Tensor& workspace, Tensor& y);

  // Keys in order, each with its value; equal keys keep their order, and -0 equals +0. No NaN.
  // keys, sorted_keys f32 [n]; values, sorted_values i32 [n]. Inputs and outputs do not overlap.
  size_t (*sort_pairs_workspace)(int64_t n);
  void (*sort_pairs)(Context&, Order, const Tensor& keys, const Tensor& values, Tensor& workspace, Tensor& sorted_keys,
                     Tensor& sorted_values);

  // sum [1] = x[0] + .. + x[n-1], in an order that depends on n alone.   x [n]; both f32 or both i32.
  size_t (*reduce_sum_workspace)(int64_t n);
  void (*reduce_sum)(Context&, const Tensor& x, Tensor& workspace, Tensor& sum);

  // The x[i] whose flags[i] is not 0, in their order; count [1] says how many. The rest of y is left as it was.
  // x, y i32 [n]; flags u8 [n]; count i32 [1].
  size_t (*select_flagged_workspace)(int64_t n);
  void (*select_flagged)(Context&, const Tensor& x, const Tensor& flags, Tensor& workspace, Tensor& y, Tensor& count);
};

// Of a device (not the CPU). Error(environment) if this build has none for it.
const Prims& prims(Device device);

}  // namespace poise::gpu

namespace poise::cuda {
const gpu::Prims& prims();
}
namespace poise::emulated {
const gpu::Prims& prims();
}
