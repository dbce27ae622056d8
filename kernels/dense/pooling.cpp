// Reductions over space on the CPU.
#include "kernels/dense/pooling.h"

#include "kernels/core/dispatch.h"
#include "kernels/core/simd.h"
#include "kernels/dense/blocks_2x2.h"

namespace poise::cpu {

void avg_pool_2x2_forward(Context&, const Tensor& x, Tensor& y) { sum_blocks_2x2(0.25, x, y); }
void avg_pool_2x2_backward(Context&, const Tensor& dy, Tensor& dx) { spread_blocks_2x2(0.25, dy, dx); }

namespace {

// f(large, small): the offset of the first channel of each block's upper left pixel, and of its small pixel.
template <class F>
void for_each_block(const Blocks2x2& blocks, int64_t images, const F& f) {
  simd_for(images * blocks.h, [=](int64_t row) {
    for (int64_t q = 0; q < blocks.w; ++q) f(blocks.rows_of(row) + 2 * q * blocks.c, (row * blocks.w + q) * blocks.c);
  });
}

// b if it is larger, or not a number.
template <class T>
bool replaces(T b, T largest) {
  return b > largest || b != b;
}

}  // namespace

void max_pool_2x2_forward(Context&, const Tensor& x, Tensor& y) {
  dispatch_float(x.dtype, [&]<class T>() {
    const Blocks2x2 blocks(x.shape, y.shape);
    const T* in = x.data<T>();
    T* out = y.data<T>();
    for_each_block(blocks, y.shape[0], [=](int64_t large, int64_t small) {
      for (int64_t i = 0; i < blocks.c; ++i) {
        const T* a = in + large + i;
        T largest = *a;
        for (const T b : {a[blocks.c], a[blocks.row], a[blocks.row + blocks.c]}) {
          if (replaces(b, largest)) largest = b;
        }
        out[small + i] = largest;
      }
    });
  });
}

void max_pool_2x2_backward(Context&, const Tensor& x, const Tensor& dy, Tensor& dx) {
  dispatch_float(x.dtype, [&]<class T>() {
    const Blocks2x2 blocks(x.shape, dy.shape);
    const T *in = x.data<T>(), *grad_out = dy.data<T>();
    T* grad_in = dx.data<T>();
    parallel_chunks(dx.elements(), kElementGrain,
                    [=](int64_t begin, int64_t end) { std::fill(grad_in + begin, grad_in + end, T{0}); });
    for_each_block(blocks, dy.shape[0], [=](int64_t large, int64_t small) {
      for (int64_t i = 0; i < blocks.c; ++i) {
        const int64_t first = large + i;
        int64_t largest = first;
        for (const int64_t b : {first + blocks.c, first + blocks.row, first + blocks.row + blocks.c}) {
          if (replaces(in[b], in[largest])) largest = b;
        }
        grad_in[largest] = grad_out[small + i];
      }
    });
  });
}

namespace {
constexpr int64_t kChannels = 64;  // channels of one task
}

void sum_space_forward(Context&, double scale, const Tensor& x, Tensor& y) {
  dispatch_float(x.dtype, [&]<class T>() {
    const int64_t n = x.shape[0], pixels = x.shape[1] * x.shape[2], c = x.shape[3];
    const int64_t blocks = (c + kChannels - 1) / kChannels;
    const T* in = x.data<T>();
    T* out = y.data<T>();
    simd_for(n * blocks, [=](int64_t task) {
      const int64_t image = task / blocks, first = task % blocks * kChannels, channels = std::min(kChannels, c - first);
      double sum[kChannels] = {};
      for (int64_t pixel = 0; pixel < pixels; ++pixel) {
        const T* from = in + (image * pixels + pixel) * c + first;
        for (int64_t i = 0; i < channels; ++i) sum[i] += static_cast<double>(from[i]);
      }
      for (int64_t i = 0; i < channels; ++i) out[image * c + first + i] = static_cast<T>(scale * sum[i]);
    });
  });
}

void sum_space_backward(Context&, double scale, const Tensor& dy, Tensor& dx) {
  dispatch_float(dy.dtype, [&]<class T>() {
    const int64_t n = dx.shape[0], pixels = dx.shape[1] * dx.shape[2], c = dx.shape[3];
    const T* grad_out = dy.data<T>();
    T* grad_in = dx.data<T>();
    const T factor = static_cast<T>(scale);
    simd_for(n, [=](int64_t image) {
      const T* from = grad_out + image * c;
      for (int64_t pixel = 0; pixel < pixels; ++pixel) {
        T* to = grad_in + (image * pixels + pixel) * c;
#pragma GCC ivdep
        for (int64_t i = 0; i < c; ++i) to[i] = factor * from[i];
      }
    });
  });
}

}  // namespace poise::cpu
