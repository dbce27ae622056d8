// Block-sparse convolution on the ordinary units, f32.
#include "kernels/sparse/block/block_multiply.cuh"
#include "kernels/sparse/block/block_outer.cuh"

namespace poise::POISE_GPU {

template <>
void launch_multiply<Fp32>(Context& ctx, const Multiply& m) {
  launch_multiply_with<Fp32>(ctx, m);
}
template <>
void launch_outer<Fp32>(Context& ctx, const Outer& o) {
  launch_outer_with<Fp32>(ctx, o);
}

}  // namespace poise::POISE_GPU
