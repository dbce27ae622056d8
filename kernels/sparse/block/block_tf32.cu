// Block-sparse convolution on tensor cores, tf32.
#include "kernels/sparse/block/block_multiply.cuh"
#include "kernels/sparse/block/block_outer.cuh"

namespace poise::POISE_GPU {

template <>
void launch_multiply<Tf32>(Context& ctx, const Multiply& m) {
  launch_multiply_with<Tf32>(ctx, m);
}
template <>
void launch_outer<Tf32>(Context& ctx, const Outer& o) {
  launch_outer_with<Tf32>(ctx, o);
}

}  // namespace poise::POISE_GPU
