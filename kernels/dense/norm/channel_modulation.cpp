// A scale and a shift per image and channel, on the CPU: tasks are images and groups of channels.
#include "kernels/dense/norm/channel_modulation.h"

#include <algorithm>
#include <limits>

#include "kernels/core/dispatch.h"
#include "kernels/core/integer.h"
#include "kernels/core/simd.h"

namespace poise::cpu {
namespace {
constexpr int64_t kChannels = 64;  // channels of one task of the backward pass
}

void channel_modulation_forward(Context&, bool relu, const Tensor& x, const Tensor& gain, const Tensor& bias,
                                Tensor& y) {
  dispatch_stored(x.dtype, [&]<class T>() {
    const int64_t pixels = x.shape[1] * x.shape[2], c = x.shape[3];
    const T *in = x.data<T>(), *gains = gain.data<T>(), *biases = bias.data<T>();
    T* out = y.data<T>();
    using Number = Computed<T>;
    const Number lowest = relu ? Number{0} : -std::numeric_limits<Number>::infinity();
    simd_for(x.shape[0], [=](int64_t n) {
      const T *scale = gains + n * c, *shift = biases + n * c;
      for (int64_t pixel = n * pixels; pixel < (n + 1) * pixels; ++pixel) {
#pragma GCC ivdep
        for (int64_t i = 0; i < c; ++i) {
          const Number h = (1 + computed(scale[i])) * computed(in[pixel * c + i]) + computed(shift[i]);
          out[pixel * c + i] = stored<T>(h < lowest ? lowest : h);  // in this order NaN stays NaN
        }
      }
    });
  });
}

void channel_modulation_backward(Context&, bool relu, const Tensor& x, const Tensor& gain, const Tensor& bias,
                                 const Tensor& dy, Tensor& dx, Tensor& dgain, Tensor& dbias) {
  dispatch_stored(x.dtype, [&]<class T>() {
    const int64_t pixels = x.shape[1] * x.shape[2], c = x.shape[3], groups = ceil_div(c, kChannels);
    const T *in = x.data<T>(), *gains = gain.data<T>(), *biases = bias.data<T>(), *grad_out = dy.data<T>();
    T *grad_in = dx ? dx.data<T>() : nullptr, *grad_gain = dgain.data<T>(), *grad_bias = dbias.data<T>();
    simd_for(x.shape[0] * groups, [=](int64_t task) {
      const int64_t n = task / groups, first = task % groups * kChannels, channels = std::min(kChannels, c - first);
      const T *scale = gains + n * c + first, *shift = biases + n * c + first;
      double sum_gain[kChannels] = {}, sum_bias[kChannels] = {};
      for (int64_t pixel = n * pixels; pixel < (n + 1) * pixels; ++pixel) {
        const T *value = in + pixel * c + first, *upstream = grad_out + pixel * c + first;
        for (int64_t i = 0; i < channels; ++i) {
          const auto factor = 1 + computed(scale[i]);
          const auto h = factor * computed(value[i]) + computed(shift[i]);
          const auto dh = relu && h <= 0 ? Computed<T>{0} : computed(upstream[i]);
          if (grad_in) grad_in[pixel * c + first + i] = stored<T>(factor * dh);
          sum_gain[i] += static_cast<double>(dh) * static_cast<double>(computed(value[i]));
          sum_bias[i] += static_cast<double>(dh);
        }
      }
      for (int64_t i = 0; i < channels; ++i) {
        grad_gain[n * c + first + i] = stored<T>(sum_gain[i]);
        grad_bias[n * c + first + i] = stored<T>(sum_bias[i]);
      }
    });
  });
}

}  // namespace poise::cpu
