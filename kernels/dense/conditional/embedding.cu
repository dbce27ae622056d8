// Embeddings, one thread per output element. Each element of the table's gradient looks at every label of the batch;
// all threads of a block read the same labels, from the cache. For 200 classes of 128 numbers and a batch of 512: 13
// million labels compared, 0.3 MB moved, about 10 us. Predicted; not yet measured on a GPU.
#include "kernels/dense/conditional/embedding.h"

#include "kernels/gpu/elementwise.cuh"

namespace poise::POISE_GPU {
namespace {

template <class T>
__global__ void embedding_forward_kernel(int64_t elements, uint32_t c, const float* table, const int32_t* labels,
                                         T* y) {
  for_each_element(elements, [&](int64_t i) {
    const auto n = static_cast<uint32_t>(i / c), column = static_cast<uint32_t>(i % c);
    y[i] = from_float<T>(table[int64_t{labels[n]} * c + column]);
  });
}

template <class T>
__global__ void embedding_backward_kernel(int64_t elements, int count, uint32_t c, const int32_t* labels, const T* dy,
                                          float* dtable) {
  for_each_element(elements, [&](int64_t i) {
    const auto k = static_cast<int32_t>(i / c);
    const auto column = static_cast<uint32_t>(i % c);
    float sum = 0;
    for (int n = 0; n < count; ++n) {
      if (labels[n] == k) sum += to_float(dy[int64_t{n} * c + column]);
    }
    dtable[i] = sum;
  });
}

}  // namespace

void embedding_forward(Context& ctx, const Tensor& table, const Tensor& labels, Tensor& y) {
  dispatch_stored(y.dtype, [&]<class T>() {
    launch(ctx, elementwise(y.elements()), embedding_forward_kernel<T>, y.elements(), static_cast<uint32_t>(y.shape[1]),
           table.data<float>(), labels.data<int32_t>(), y.data<T>());
  });
}

void embedding_backward(Context& ctx, const Tensor& labels, const Tensor& dy, Tensor& dtable) {
  dispatch_stored(dy.dtype, [&]<class T>() {
    launch(ctx, elementwise(dtable.elements()), embedding_backward_kernel<T>, dtable.elements(),
           static_cast<int>(dy.shape[0]), static_cast<uint32_t>(dy.shape[1]), labels.data<int32_t>(), dy.data<T>(),
           dtable.data<float>());
  });
}

}  // namespace poise::POISE_GPU
