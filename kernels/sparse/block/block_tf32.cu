// Block-sparse convolution on tensor cores, tf32: both kernels, compiled for this arithmetic.
#include "kernels/sparse/block/block_dsd_gemm.cuh"
#include "kernels/sparse/block/block_sdd_gemm.cuh"

namespace poise::POISE_GPU {

template void launch_dsd_gemm<Tf32>(Context&, const DsdGemm&);
template void launch_sdd_gemm<Tf32>(Context&, const SddGemm&);

}  // namespace poise::POISE_GPU
