// Convolution on tensor cores, tf32: conv2d_gemm.cuh, compiled for this arithmetic.
#include "kernels/dense/conv2d/conv2d_gemm.cuh"

namespace poise::POISE_GPU {

template void launch_implicit_gemm<Tf32>(Context&, const ImplicitGemm&, BlockSize);
template void launch_weight_gradient_gemm<Tf32>(Context&, const WeightGradientGemm&, BlockSize);

}  // namespace poise::POISE_GPU
