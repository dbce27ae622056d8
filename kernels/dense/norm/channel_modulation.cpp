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
  dispatch_float(x.dtype, [&]<class T>() {
    const int64_t pixels = x.shape[1] * x.shape[2], c = x.shape[3];
    const T *in = x.data<T>(), *gains = gain.data<T>(), *biases = bias.data<T>();
    T* out = y.data<T>();
    const T lowest = relu ? T{0} : -std::numeric_limits<T>::infinity();
    simd_for(x.shape[0], [=](int64_t n) {
      const T *scale = gains + n * c, *shift = biases + n * c;
      for (int64_t pixel = n * pixels; pixel < (n + 1) * pixels; ++pixel) {
#pragma GCC ivdep
        for (int64_t i = 0; i < c; ++i) {
          const T h = (1 + scale[i]) * in[pixel * c + i] + shift[i];
          out[pixel * c + i] = h < lowest ? lowest : h;  // this way round a NaN stays one
        }
      }
    });
  });
}

void channel_modulation_backward(Context&, bool relu, const Tensor& x, const Tensor& gain, const Tensor& bias,
                                 const Tensor& dy, Tensor& dx, Tensor& dgain, Tensor& dbias) {
  dispatch_float(x.dtype, [&]<class T>() {
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
          const T h = (1 + scale[i]) * value[i] + shift[i];
          const T dh = relu && h <= 0 ? T{0} : upstream[i];
          if (grad_in) grad_in[pixel * c + first + i] = (1 + scale[i]) * dh;
          sum_gain[i] += static_cast<double>(dh) * static_cast<double>(value[i]);
          sum_bias[i] += static_cast<double>(dh);
        }
      }
      for (int64_t i = 0; i < channels; ++i) {
        grad_gain[n * c + first + i] = static_cast<T>(sum_gain[i]);
        grad_bias[n * c + first + i] = static_cast<T>(sum_bias[i]);
      }
    });
  });
}

}  // namespace poise::cpu
