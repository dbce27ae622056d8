// f32 products of small matrices with oneDNN's sgemm. Each image is one task on one thread, so the order of summation
// does not depend on the number of threads.
#include <oneapi/dnnl/dnnl.h>

#include <atomic>

#include "kernels/core/onednn_threads.h"
#include "kernels/core/parallel.h"
#include "kernels/dense/attention/attention.h"
#include "kernels/table.h"

namespace poise::cpu {

void batched_matmul_onednn(Context& ctx, bool transpose_a, bool transpose_b, const Tensor& a, const Tensor& b,
                           Tensor& c) {
  if (c.dtype != DType::f32) return batched_matmul(ctx, transpose_a, transpose_b, a, b, c);
  const int64_t images = c.shape[0], m = c.shape[1], n = c.shape[2], k = transpose_a ? a.shape[1] : a.shape[2];
  const auto *left = a.data<float>(), *right = b.data<float>();
  auto* out = c.data<float>();
  std::atomic<bool> failed = false;
  parallel_for(images, [&](int64_t i) {
    use_one_onednn_thread();
    const dnnl_status_t status =
        dnnl_sgemm(transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', m, n, k, 1.0f, left + i * m * k,
                   transpose_a ? m : k, right + i * k * n, transpose_b ? k : n, 0.0f, out + i * m * n, n);
    if (status != dnnl_success) failed = true;
  });
  if (failed) fail(ErrorKind::runtime, "oneDNN's sgemm failed (out of memory?)");
}

}  // namespace poise::cpu
