// Block-sparse convolution on CUDA cores, f32: both kernels, compiled for this arithmetic.
#include "kernels/sparse/block/block_multiply.cuh"
#include "kernels/sparse/block/block_outer.cuh"

namespace poise::POISE_GPU {

template void launch_multiply<Fp32>(Context&, const Multiply&);
template void launch_outer<Fp32>(Context&, const Outer&);

}  // namespace poise::POISE_GPU
