// Four elements per thread, grid-stride. Bytes: 6 per element; no FLOPs.
#include "kernels/dense/pointwise/convert.h"

#include "kernels/gpu/elementwise.cuh"

namespace poise::POISE_GPU {
namespace {

template <int N, class From, class To>
__global__ void convert_kernel(int64_t n, const From* from, To* to) {
  for_each_vector<N>(n, [&]<int Width>(int64_t i) { store_floats(to + i, load_floats<Width>(from + i)); });
}

template <class From, class To>
void convert_elements(Context& ctx, const Tensor& from, Tensor& to) {
  const int64_t n = from.elements();
  dispatch_width<float>(0, {&from, &to}, [&]<int N>() {
    launch(ctx, elementwise(n / N), convert_kernel<N, From, To>, n, from.data<From>(), to.data<To>());
  });
}

}  // namespace

void convert(Context& ctx, const Tensor& from, Tensor& to) {
  if (from.dtype == DType::f32 && to.dtype == DType::bf16) return convert_elements<float, bf16>(ctx, from, to);
  require(from.dtype == DType::bf16 && to.dtype == DType::f32, "convert supports f32 to bf16 and bf16 to f32");
  convert_elements<bf16, float>(ctx, from, to);
}

}  // namespace poise::POISE_GPU
