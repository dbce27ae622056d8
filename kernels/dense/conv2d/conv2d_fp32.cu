// Convolution in f32 without tensor cores.
#include "kernels/dense/conv2d/conv2d_gemm.cuh"

namespace poise::POISE_GPU {
namespace {
using Large = BlockShape<128, 128, 32, 64, 3, 1>;
using Small = BlockShape<64, 64, 32, 32, 3, 3>;
}  // namespace

template <>
void launch_convolve<Fp32>(Context& ctx, const Convolve& c, BlockSize size) {
  size == BlockSize::large ? launch_convolve_with<Fp32, Large>(ctx, c) : launch_convolve_with<Fp32, Small>(ctx, c);
}
template <>
void launch_correlate<Fp32>(Context& ctx, const Correlate& c, BlockSize size) {
  size == BlockSize::large ? launch_correlate_with<Fp32, Large>(ctx, c) : launch_correlate_with<Fp32, Small>(ctx, c);
}

}  // namespace poise::POISE_GPU
