// Block-sparse convolution on tensor cores, bf16: both kernels, compiled for this arithmetic.
#include "kernels/sparse/block/block_multiply.cuh"
#include "kernels/sparse/block/block_outer.cuh"

namespace poise::POISE_GPU {

template void launch_multiply<Bf16>(Context&, const Multiply&);
template void launch_outer<Bf16>(Context&, const Outer&);

}  // namespace poise::POISE_GPU
