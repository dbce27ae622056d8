// Convolution as plain loops. All sums are taken in double, also for f32, and so are exact up to the final rounding:
// this file is the reference for the faster kernels. The innermost loops run over channels, which are contiguous.
//
// Every pass gathers what contributes to each of its outputs, so no two tasks write the same output. Upsampling divides
// the input coordinate; pooling divides the output coordinate, since each sum belongs to the output that averages it.
#include "kernels/dense/conv2d/conv2d.h"

#include "kernels/core/dispatch.h"
#include "kernels/core/dot.h"
#include "kernels/core/integer.h"
#include "kernels/core/simd.h"

namespace poise::cpu {
namespace {

// The block of weight gradients that one task computes: 4 KiB of sums on its stack.
constexpr int64_t kInputChannels = 64, kOutputChannels = 8;

// The row (or column) of x under tap r of output row p, or -1 where there is padding.
int64_t input_position(int64_t p, int64_t r, int64_t stride, int64_t pad, int64_t upsample, int64_t size) {
  const int64_t enlarged = p * stride + r - pad;
  return enlarged >= 0 && enlarged < size * upsample ? enlarged / upsample : -1;
}

// The output row (or column) that reads upsampled row a through tap r, or -1 if there is none.
int64_t output_position(int64_t a, int64_t r, int64_t stride, int64_t pad, int64_t size) {
  const int64_t scaled = a + pad - r;
  return scaled >= 0 && scaled % stride == 0 && scaled / stride < size ? scaled / stride : -1;
}

// The weight of one sum in the pooled output, which is a mean.
double share_of(const Conv2dGeometry& g) { return 1.0 / static_cast<double>(g.pool * g.pool); }

}  // namespace

bool conv2d_finishes(const Context&) { return false; }
bool conv2d_normalises(const Context&, DType) { return false; }

Conv2dPlan conv2d_plan(const Context&, const Conv2dGeometry& g, DType, Pass) { return {.executed_macs = g.macs()}; }

void conv2d_forward(Context&, const Conv2dGeometry& geometry, const LayerInput& in, const Tensor& weight,
                    const Tensor& bias, const Tensor& rectified, Tensor&, Tensor& y) {
  const Tensor& x = read_directly(in);
  require(!rectified, kDoesNotFinish);
  dispatch_stored(x.dtype, [&]<class T>() {
    const Conv2dGeometry g = geometry;
    const T* inputs = x.data<T>();
    const T* weights = weight.data<T>();
    const auto* biases = bias ? bias.data<Computed<T>>() : nullptr;
    T* outputs = y.data<T>();
    const int64_t out_h = g.out_h(), out_w = g.out_w();
    simd_for(g.n * out_h, [=](int64_t task) {  // one output row
      const int64_t image = task / out_h, p = task % out_h;
      for (int64_t q = 0; q < out_w; ++q) {
        T* pixel = outputs + (task * out_w + q) * g.c_out;
        for (int64_t o = 0; o < g.c_out; ++o) {
          DotSum sum;
          for (int64_t a = p * g.pool; a < (p + 1) * g.pool; ++a) {
            for (int64_t b = q * g.pool; b < (q + 1) * g.pool; ++b) {
              for (int64_t r = 0; r < g.kh; ++r) {
                const int64_t row = input_position(a, r, g.stride_h, g.pad_h, g.upsample, g.h);
                if (row < 0) continue;
                for (int64_t s = 0; s < g.kw; ++s) {
                  const int64_t column = input_position(b, s, g.stride_w, g.pad_w, g.upsample, g.w);
                  if (column < 0) continue;
                  sum.add(inputs + ((image * g.h + row) * g.w + column) * g.c_in,
                          weights + ((o * g.kh + r) * g.kw + s) * g.c_in, g.c_in);
                }
              }
            }
          }
          const double total = sum.total() * share_of(g) + (biases ? static_cast<double>(biases[o]) : 0.0);
          pixel[o] = stored<T>(g.relu && total < 0 ? 0 : total);
        }
      }
    });
  });
}

void conv2d_backward_input(Context&, const Conv2dGeometry& geometry, const Tensor& dy, const Tensor& weight,
                           const Tensor& rectified, Tensor&, Tensor& dx) {
  require(!rectified, kDoesNotFinish);
  dispatch_stored(dy.dtype, [&]<class T>() {
    const Conv2dGeometry g = geometry;
    const T* grad_out = dy.data<T>();
    const T* weights = weight.data<T>();
    T* grad_in = dx.data<T>();
    const int64_t out_h = g.out_h(), out_w = g.out_w();
    simd_for(g.n * g.h, [=](int64_t task) {  // one input row
      const int64_t image = task / g.h, row = task % g.h;
      for (int64_t column = 0; column < g.w; ++column) {
        T* pixel = grad_in + (task * g.w + column) * g.c_in;
        for (int64_t first = 0; first < g.c_in; first += kInputChannels) {
          const int64_t channels = std::min(kInputChannels, g.c_in - first);
          double sum[kInputChannels] = {};
          // The upsample x upsample copies of this pixel, and every (output pixel, tap) that reads one of them.
          for (int64_t a = row * g.upsample; a < (row + 1) * g.upsample; ++a) {
            for (int64_t r = 0; r < g.kh; ++r) {
              const int64_t p = output_position(a, r, g.stride_h, g.pad_h, out_h * g.pool);
              if (p < 0) continue;
              for (int64_t b = column * g.upsample; b < (column + 1) * g.upsample; ++b) {
                for (int64_t s = 0; s < g.kw; ++s) {
                  const int64_t q = output_position(b, s, g.stride_w, g.pad_w, out_w * g.pool);
                  if (q < 0) continue;
                  const T* dy_pixel = grad_out + ((image * out_h + p / g.pool) * out_w + q / g.pool) * g.c_out;
                  for (int64_t o = 0; o < g.c_out; ++o) {
                    const double factor = static_cast<double>(computed(dy_pixel[o]));
                    const T* w = weights + ((o * g.kh + r) * g.kw + s) * g.c_in + first;
                    for (int64_t i = 0; i < channels; ++i) sum[i] += factor * static_cast<double>(computed(w[i]));
                  }
                }
              }
            }
          }
          for (int64_t i = 0; i < channels; ++i) pixel[first + i] = stored<T>(sum[i] * share_of(g));
        }
      }
    });
  });
}

void conv2d_backward_weight(Context&, const Conv2dGeometry& geometry, const Tensor& x, const Tensor& dy, Tensor&,
                            Tensor& dweight, Tensor& dbias) {
  dispatch_stored(x.dtype, [&]<class T>() {
    const Conv2dGeometry g = geometry;
    const T* inputs = x.data<T>();
    const T* grad_out = dy.data<T>();
    auto* grad_weight = dweight.data<Computed<T>>();
    const int64_t out_h = g.out_h(), out_w = g.out_w();
    const int64_t input_blocks = ceil_div(g.c_in, kInputChannels);
    const int64_t output_blocks = ceil_div(g.c_out, kOutputChannels);
    simd_for(g.kh * g.kw * output_blocks * input_blocks, [=](int64_t task) {  // a block of one tap
      const int64_t first_i = task % input_blocks * kInputChannels;
      const int64_t channels = std::min(kInputChannels, g.c_in - first_i);
      const int64_t first_o = task / input_blocks % output_blocks * kOutputChannels;
      const int64_t last_o = std::min(g.c_out, first_o + kOutputChannels);
      const int64_t tap = task / input_blocks / output_blocks, r = tap / g.kw, s = tap % g.kw;
      double sum[kOutputChannels][kInputChannels] = {};
      for (int64_t image = 0; image < g.n; ++image) {
        for (int64_t p = 0; p < out_h * g.pool; ++p) {
          const int64_t row = input_position(p, r, g.stride_h, g.pad_h, g.upsample, g.h);
          if (row < 0) continue;
          for (int64_t q = 0; q < out_w * g.pool; ++q) {
            const int64_t column = input_position(q, s, g.stride_w, g.pad_w, g.upsample, g.w);
            if (column < 0) continue;
            const T* pixel = inputs + ((image * g.h + row) * g.w + column) * g.c_in + first_i;
            const T* dy_pixel = grad_out + ((image * out_h + p / g.pool) * out_w + q / g.pool) * g.c_out;
            for (int64_t o = first_o; o < last_o; ++o) {
              const double factor = static_cast<double>(computed(dy_pixel[o]));
              for (int64_t i = 0; i < channels; ++i)
                sum[o - first_o][i] += factor * static_cast<double>(computed(pixel[i]));
            }
          }
        }
      }
      for (int64_t o = first_o; o < last_o; ++o) {
        auto* w = grad_weight + ((o * g.kh + r) * g.kw + s) * g.c_in + first_i;
        for (int64_t i = 0; i < channels; ++i) w[i] = static_cast<Computed<T>>(sum[o - first_o][i] * share_of(g));
      }
    });
    if (!dbias) return;
    auto* grad_bias = dbias.data<Computed<T>>();
    simd_chunks(g.c_out, kInputChannels, [=](int64_t begin, int64_t end) {
      double sum[kInputChannels] = {};
      for (int64_t pixel = 0; pixel < g.n * out_h * out_w; ++pixel) {
        const T* dy_pixel = grad_out + pixel * g.c_out + begin;
        for (int64_t o = 0; o < end - begin; ++o) sum[o] += static_cast<double>(computed(dy_pixel[o]));
      }
      for (int64_t o = begin; o < end; ++o) grad_bias[o] = static_cast<Computed<T>>(sum[o - begin]);
    });
  });
}

}  // namespace poise::cpu
