// Pooling over windows. A thread per 16 bytes of channels of a result's pixel reads the cells of its window or, for a
// gradient, the windows that contain the pixel; neighbouring threads read neighbouring channels. Bound by memory as
// long as L2 serves the overlap of windows: for a 3x3 mean of [64,35,35,288] in f32, 90 MB in, 90 MB out, 42 us at 4.3
// TB/s. The gradient of the maximum reads every window up to the cell, which is slow where windows overlap and is meant
// for small ones. Predicted; not yet measured on a GPU.
#include "kernels/dense/space/window_pooling.h"

#include "kernels/gpu/elementwise.cuh"

namespace poise::POISE_GPU {
namespace {

struct PoolShape {
  PoolWindow window;
  int h, w, c, out_h, out_w;  // of x [N,h,w,c] and y [N,out_h,out_w,c]
};

// A vector of channels of pixel (row, column) of an image of `height` x `width`.
struct Place {
  int64_t image;
  int row, column, channel;
  template <int N>
  __device__ static Place of(int64_t vector, int height, int width, int c) {
    const int per_pixel = c / N;
    const int64_t pixel = vector / per_pixel;
    const auto in_image = static_cast<int>(pixel % (height * width));
    return {.image = pixel / (height * width),
            .row = in_image / width,
            .column = in_image % width,
            .channel = static_cast<int>(vector % per_pixel) * N};
  }
};

template <class T, int N, bool Maximum>
__global__ void pool_forward_kernel(PoolShape s, int64_t vectors, const T* x, T* y) {
  for_each_element(vectors, [&](int64_t v) {
    const Place at = Place::of<N>(v, s.out_h, s.out_w, s.c);
    const auto top = static_cast<int>(s.window.begin(at.row)), bottom = static_cast<int>(s.window.end(at.row, s.h));
    const auto left = static_cast<int>(s.window.begin(at.column)),
               right = static_cast<int>(s.window.end(at.column, s.w));
    const T* const image = x + at.image * s.h * s.w * s.c + at.channel;
    Vector<float, N> result = load_floats<N>(image + (int64_t{top} * s.w + left) * s.c);
    for (int row = top; row < bottom; ++row) {
      for (int column = row == top ? left + 1 : left; column < right; ++column) {
        const auto cell = load_floats<N>(image + (int64_t{row} * s.w + column) * s.c);
#pragma unroll
        for (int k = 0; k < N; ++k) {
          if constexpr (Maximum) {
            result[k] = cell[k] > result[k] || cell[k] != cell[k] ? cell[k] : result[k];
          } else {
            result[k] += cell[k];
          }
        }
      }
    }
    if constexpr (!Maximum) {
      const auto cells = static_cast<float>((bottom - top) * (right - left));
#pragma unroll
      for (int k = 0; k < N; ++k) result[k] /= cells;
    }
    store_floats(y + v * N, result);
  });
}

// Per channel: 1 if cell `at` is the first of window (p, q) to hold the window's maximum, else 0.
template <class T, int N>
__device__ inline Vector<float, N> receives(const PoolShape& s, const Place& at, int p, int q, const T* x, const T* y) {
  const T* const image = x + at.image * s.h * s.w * s.c + at.channel;
  const auto maximum = load_floats<N>(y + ((at.image * s.out_h + p) * s.out_w + q) * s.c + at.channel);
  const auto own = load_floats<N>(image + (int64_t{at.row} * s.w + at.column) * s.c);
  Vector<float, N> share;
#pragma unroll
  for (int k = 0; k < N; ++k) share[k] = own[k] == maximum[k] ? 1.0f : 0.0f;
  const auto left = static_cast<int>(s.window.begin(q)), right = static_cast<int>(s.window.end(q, s.w));
  for (auto row = static_cast<int>(s.window.begin(p)); row <= at.row; ++row) {
    const int end = row == at.row ? at.column : right;
    for (int column = left; column < end; ++column) {
      const auto earlier = load_floats<N>(image + (int64_t{row} * s.w + column) * s.c);
#pragma unroll
      for (int k = 0; k < N; ++k) {
        if (earlier[k] == maximum[k]) share[k] = 0;
      }
    }
  }
  return share;
}

template <class T, int N, bool Maximum>
__global__ void pool_backward_kernel(PoolShape s, int64_t vectors, const T* x, const T* y, const T* dy, T* dx) {
  for_each_element(vectors, [&](int64_t v) {
    const Place at = Place::of<N>(v, s.h, s.w, s.c);
    Vector<float, N> sum{};
    const auto last_p = static_cast<int>(s.window.last_output(at.row, s.h)),
               last_q = static_cast<int>(s.window.last_output(at.column, s.w));
    for (auto p = static_cast<int>(s.window.first_output(at.row)); p <= last_p; ++p) {
      for (auto q = static_cast<int>(s.window.first_output(at.column)); q <= last_q; ++q) {
        const auto grad = load_floats<N>(dy + ((at.image * s.out_h + p) * s.out_w + q) * s.c + at.channel);
        if constexpr (Maximum) {
          const auto share = receives<T, N>(s, at, p, q, x, y);
#pragma unroll
          for (int k = 0; k < N; ++k) {
            if (share[k] != 0) sum[k] += grad[k];
          }
        } else {
          const auto cells = static_cast<float>((s.window.end(p, s.h) - s.window.begin(p)) *
                                                (s.window.end(q, s.w) - s.window.begin(q)));
#pragma unroll
          for (int k = 0; k < N; ++k) sum[k] += grad[k] / cells;
        }
      }
    }
    store_floats(dx + v * N, sum);
  });
}

PoolShape shape_of(const PoolWindow& window, const Tensor& x, const Tensor& y) {
  return {.window = window,
          .h = static_cast<int>(x.shape[1]),
          .w = static_cast<int>(x.shape[2]),
          .c = static_cast<int>(x.shape[3]),
          .out_h = static_cast<int>(y.shape[1]),
          .out_w = static_cast<int>(y.shape[2])};
}

template <bool Maximum>
void pool_forward(Context& ctx, const PoolWindow& window, const Tensor& x, Tensor& y) {
  dispatch_stored(x.dtype, [&]<class T>() {
    dispatch_width<T>(x.shape[3], {&x, &y}, [&]<int N>() {
      const int64_t vectors = y.elements() / N;
      launch(ctx, elementwise(vectors), pool_forward_kernel<T, N, Maximum>, shape_of(window, x, y), vectors,
             x.data<T>(), y.data<T>());
    });
  });
}

}  // namespace

void max_pool_forward(Context& ctx, const PoolWindow& window, const Tensor& x, Tensor& y) {
  pool_forward<true>(ctx, window, x, y);
}

void avg_pool_forward(Context& ctx, const PoolWindow& window, const Tensor& x, Tensor& y) {
  pool_forward<false>(ctx, window, x, y);
}

void max_pool_backward(Context& ctx, const PoolWindow& window, const Tensor& x, const Tensor& y, const Tensor& dy,
                       Tensor& dx) {
  dispatch_stored(dx.dtype, [&]<class T>() {
    dispatch_width<T>(dx.shape[3], {&x, &y, &dy, &dx}, [&]<int N>() {
      const int64_t vectors = dx.elements() / N;
      launch(ctx, elementwise(vectors), pool_backward_kernel<T, N, true>, shape_of(window, dx, dy), vectors,
             x.data<T>(), y.data<T>(), dy.data<T>(), dx.data<T>());
    });
  });
}

void avg_pool_backward(Context& ctx, const PoolWindow& window, const Tensor& dy, Tensor& dx) {
  dispatch_stored(dx.dtype, [&]<class T>() {
    dispatch_width<T>(dx.shape[3], {&dy, &dx}, [&]<int N>() {
      const int64_t vectors = dx.elements() / N;
      launch(ctx, elementwise(vectors), pool_backward_kernel<T, N, false>, shape_of(window, dx, dy), vectors,
             static_cast<const T*>(nullptr), static_cast<const T*>(nullptr), dy.data<T>(), dx.data<T>());
    });
  });
}

}  // namespace poise::POISE_GPU
