// Embeddings on the CPU: one task per row of what is written.
#include "kernels/dense/conditional/embedding.h"

#include <algorithm>

#include "kernels/core/dispatch.h"
#include "kernels/core/parallel.h"

namespace poise::cpu {

void embedding_forward(Context&, const Tensor& table, const Tensor& labels, Tensor& y) {
  dispatch_float(y.dtype, [&]<class T>() {
    const int64_t c = y.shape[1];
    const T* from = table.data<T>();
    const int32_t* label = labels.data<int32_t>();
    T* out = y.data<T>();
    parallel_for(y.shape[0], [=](int64_t n) { std::copy_n(from + label[n] * c, c, out + n * c); });
  });
}

void embedding_backward(Context&, const Tensor& labels, const Tensor& dy, Tensor& dtable) {
  dispatch_float(dy.dtype, [&]<class T>() {
    const int64_t count = dy.shape[0], c = dy.shape[1];
    const int32_t* label = labels.data<int32_t>();
    const T* grad_out = dy.data<T>();
    T* grad = dtable.data<T>();
    parallel_for(dtable.shape[0], [=](int64_t k) {
      T* row = grad + k * c;
      std::fill_n(row, c, T{0});
      for (int64_t n = 0; n < count; ++n) {
        if (label[n] != k) continue;
        for (int64_t i = 0; i < c; ++i) row[i] += grad_out[n * c + i];
      }
    });
  });
}

}  // namespace poise::cpu
