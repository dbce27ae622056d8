// Convolution on tensor cores, tf32. Blocks of 128 x 128: four warps of 64 x 64, the shape that reads least shared
// memory per multiply-add within 255 registers; two blocks per multiprocessor hide each other's barriers. Blocks of 64
// x 64: three, with more copies in flight, for layers that are too small to fill the device otherwise.
#include "kernels/dense/conv2d/conv2d_gemm.cuh"

namespace poise::POISE_GPU {
namespace {
using Large = BlockShape<128, 128, 64, 64, 3, 2>;
using Small = BlockShape<64, 64, 32, 32, 4, 3>;
}  // namespace

template <>
void launch_convolve<Tf32>(Context& ctx, const Convolve& c, BlockSize size) {
  size == BlockSize::large ? launch_convolve_with<Tf32, Large>(ctx, c) : launch_convolve_with<Tf32, Small>(ctx, c);
}
template <>
void launch_correlate<Tf32>(Context& ctx, const Correlate& c, BlockSize size) {
  size == BlockSize::large ? launch_correlate_with<Tf32, Large>(ctx, c) : launch_correlate_with<Tf32, Small>(ctx, c);
}

}  // namespace poise::POISE_GPU
