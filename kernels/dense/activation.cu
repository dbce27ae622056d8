// One thread per element, grid-stride. Bytes: 2 elements moved forward, 3 backward; FLOPs negligible.
#include "kernels/dense/activation.h"

#include "kernels/gpu/elementwise.cuh"
#include "kernels/gpu/families.h"

namespace poise::POISE_GPU {
namespace {

template <class T>
__global__ void leaky_relu_forward_kernel(float slope, int64_t n, const T* x, T* y) {
  for_each_element(n, [&](int64_t i) {
    const float v = to_float(x[i]);
    y[i] = from_float<T>(v > 0 ? v : slope * v);
  });
}

void leaky_relu_forward(Context& ctx, float slope, const Tensor& x, Tensor& y) {
  dispatch_stored(x.dtype, [&]<class T>() {
    launch(ctx, elementwise(x.elements()), leaky_relu_forward_kernel<T>, slope, x.elements(), x.data<T>(), y.data<T>());
  });
}

}  // namespace

void add_activation_kernels(KernelTable& table) { table.leaky_relu_forward = leaky_relu_forward; }

}  // namespace poise::POISE_GPU
