// Reductions over space on the CPU.
#include "kernels/dense/space/pooling.h"

#include "kernels/core/dispatch.h"
#include "kernels/core/integer.h"
#include "kernels/core/simd.h"
#include "kernels/dense/space/blocks_2x2.h"

namespace poise::cpu {

void avg_pool_2x2_forward(Context&, const Tensor& x, Tensor& y) { sum_blocks_2x2(0.25, x, y); }
void avg_pool_2x2_backward(Context&, const Tensor& dy, Tensor& dx) { spread_blocks_2x2(0.25, dy, dx); }

namespace {
constexpr int64_t kChannels = 64;  // channels of one task
}

void sum_space_forward(Context&, double scale, const Tensor& x, Tensor& y) {
  dispatch_stored(x.dtype, [&]<class T>() {
    const int64_t n = x.shape[0], pixels = x.shape[1] * x.shape[2], c = x.shape[3];
    const int64_t blocks = ceil_div(c, kChannels);
    const T* in = x.data<T>();
    auto* out = y.data<Computed<T>>();
    simd_for(n * blocks, [=](int64_t task) {
      const int64_t image = task / blocks, first = task % blocks * kChannels, channels = std::min(kChannels, c - first);
      double sum[kChannels] = {};
      for (int64_t pixel = 0; pixel < pixels; ++pixel) {
        const T* from = in + (image * pixels + pixel) * c + first;
        for (int64_t i = 0; i < channels; ++i) sum[i] += static_cast<double>(computed(from[i]));
      }
      for (int64_t i = 0; i < channels; ++i) out[image * c + first + i] = static_cast<Computed<T>>(scale * sum[i]);
    });
  });
}

void sum_space_backward(Context&, double scale, bool masks, const Tensor& dy, Tensor& dx) {
  dispatch_stored(dx.dtype, [&]<class T>() {
    const int64_t n = dx.shape[0], pixels = dx.shape[1] * dx.shape[2], c = dx.shape[3];
    const auto* grad_out = dy.data<Computed<T>>();
    T* grad_in = dx.data<T>();
    const auto factor = static_cast<Computed<T>>(scale);
    simd_for(n, [=](int64_t image) {
      const auto* from = grad_out + image * c;
      for (int64_t pixel = 0; pixel < pixels; ++pixel) {
        T* to = grad_in + (image * pixels + pixel) * c;
#pragma GCC ivdep
        for (int64_t i = 0; i < c; ++i) {
          const auto gradient = factor * from[i];
          to[i] = stored<T>(masks && !(computed(to[i]) > 0) ? 0 * gradient : gradient);
        }
      }
    });
  });
}

}  // namespace poise::cpu
