// Block-sparse convolution on tensor cores, bf16: both kernels, compiled for this arithmetic.
#include "kernels/sparse/block/block_dsd_gemm.cuh"
#include "kernels/sparse/block/block_sdd_gemm.cuh"

namespace poise::POISE_GPU {

template void launch_dsd_gemm<Bf16>(Context&, const DsdGemm&);
template void launch_sdd_gemm<Bf16>(Context&, const SddGemm&);

}  // namespace poise::POISE_GPU
