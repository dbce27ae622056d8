// The peak rates of a device, measured with our own kernels: the yardstick for everything else.
#pragma once
#include "kernels/core/context.h"
#include "kernels/gpu/device_limits.h"

namespace poise {

struct CeilingKernels {
  // to[i] = from[i], 16 bytes per thread and step.   f32 [n], n a multiple of 4.
  void (*copy)(Context&, const Tensor& from, Tensor& to);
  // Reads x `times` times: measures L2 bandwidth if x fits into L2.   x f32 [n], n a multiple of 4 kReadBlocks; sums
  // f32 [kReadBlocks * kReadThreads].
  void (*read)(Context&, int times, const Tensor& x, Tensor& sums);
  // Matrix products from registers, without memory: `rounds` of kProductsPerRound instructions per warp, on
  // kProductBlocks blocks of kWarpsPerBlock warps.   sums f32 [kProductBlocks * kWarpsPerBlock * 32].
  void (*multiply_bf16)(Context&, int rounds, Tensor& sums);
  void (*multiply_tf32)(Context&, int rounds, Tensor& sums);
};

constexpr int kReadBlocks = kMultiprocessors * 8, kReadThreads = 256;
constexpr int kProductsPerRound = 8, kWarpsPerBlock = 8, kProductBlocks = kMultiprocessors * 4;
constexpr double kFlopsOfBf16Product = 2.0 * 16 * 8 * 16, kFlopsOfTf32Product = 2.0 * 16 * 8 * 8;

namespace emulated {
CeilingKernels ceiling_kernels();
}
namespace cuda {
CeilingKernels ceiling_kernels();
}

}  // namespace poise
