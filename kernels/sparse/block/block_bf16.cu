// Block-sparse convolution on tensor cores, bf16.
#include "kernels/sparse/block/block_multiply.cuh"
#include "kernels/sparse/block/block_outer.cuh"

namespace poise::POISE_GPU {

template <>
void launch_multiply<Bf16>(Context& ctx, const Multiply& m) {
  launch_multiply_with<Bf16>(ctx, m);
}
template <>
void launch_outer<Bf16>(Context& ctx, const Outer& o) {
  launch_outer_with<Bf16>(ctx, o);
}

}  // namespace poise::POISE_GPU
