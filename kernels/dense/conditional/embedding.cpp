// Embeddings on the CPU: one task per row of the output.
#include "kernels/dense/conditional/embedding.h"

#include <algorithm>

#include "kernels/core/dispatch.h"
#include "kernels/core/parallel.h"

namespace poise::cpu {

void embedding_forward(Context&, const Tensor& table, const Tensor& labels, Tensor& y) {
  dispatch_stored(y.dtype, [&]<class T>() {
    const int64_t c = y.shape[1];
    const auto* from = table.data<Computed<T>>();
    const int32_t* label = labels.data<int32_t>();
    T* out = y.data<T>();
    parallel_for(y.shape[0], [=](int64_t n) {
      for (int64_t i = 0; i < c; ++i) out[n * c + i] = stored<T>(from[label[n] * c + i]);
    });
  });
}

void embedding_backward(Context&, const Tensor& labels, const Tensor& dy, Tensor& dtable) {
  dispatch_stored(dy.dtype, [&]<class T>() {
    const int64_t count = dy.shape[0], c = dy.shape[1];
    const int32_t* label = labels.data<int32_t>();
    const T* grad_out = dy.data<T>();
    auto* grad = dtable.data<Computed<T>>();
    parallel_for(dtable.shape[0], [=](int64_t k) {
      auto* row = grad + k * c;
      std::fill_n(row, c, Computed<T>{0});
      for (int64_t n = 0; n < count; ++n) {
        if (label[n] != k) continue;
        for (int64_t i = 0; i < c; ++i) row[i] += computed(grad_out[n * c + i]);
      }
    });
  });
}

}  // namespace poise::cpu
