// Columns of small matrices, one thread per element: the cost is that of a launch.
#include "kernels/dense/columns.h"

#include "kernels/gpu/elementwise.cuh"
#include "kernels/gpu/families.h"

namespace poise::POISE_GPU {
namespace {

template <class T>
__global__ void copy_columns_kernel(int64_t elements, int64_t count, int64_t columns_x, int64_t columns_y, const T* x,
                                    T* y) {
  for_each_element(elements, [&](int64_t i) {
    const int64_t n = i / count, j = i % count;
    y[n * columns_y + j] = x[n * columns_x + j];
  });
}

void copy_columns(Context& ctx, int64_t from, int64_t to, int64_t count, const Tensor& x, Tensor& y) {
  dispatch_stored(x.dtype, [&]<class T>() {
    const int64_t elements = x.shape[0] * count;
    launch(ctx, elementwise(elements), copy_columns_kernel<T>, elements, count, x.shape[1], y.shape[1],
           x.data<T>() + from, y.data<T>() + to);
  });
}

}  // namespace

void add_columns_kernels(KernelTable& table) { table.copy_columns = copy_columns; }

}  // namespace poise::POISE_GPU
