// Convolution on tensor cores, bf16: conv2d_gemm.cuh, compiled for this arithmetic.
#include "kernels/dense/conv2d/conv2d_gemm.cuh"

namespace poise::POISE_GPU {

template void launch_convolve<Bf16>(Context&, const Convolve&, BlockSize);
template void launch_correlate<Bf16>(Context&, const Correlate&, BlockSize);

}  // namespace poise::POISE_GPU
