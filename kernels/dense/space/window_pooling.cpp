// Pooling over windows on the CPU. A task is one row of the result; the innermost loops run over the channels of one
// cell. The gradients ask each cell of x which windows saw it, so that no two tasks write to one place.
#include "kernels/dense/space/window_pooling.h"

#include <algorithm>

#include "kernels/core/dispatch.h"
#include "kernels/core/simd.h"

namespace poise::cpu {
namespace {

// first(to, cell, channels) for the first cell of each window, then next(...) for the others in row order, then
// last(to, number of cells, channels).
template <class T, class First, class Next, class Last>
void for_each_window(const PoolWindow& window, const Tensor& x, Tensor& y, First first, Next next, Last last) {
  const int64_t h = x.shape[1], w = x.shape[2], c = x.shape[3], out_h = y.shape[1], out_w = y.shape[2];
  const T* in = x.data<T>();
  T* out = y.data<T>();
  simd_for(y.shape[0] * out_h, [=](int64_t task) {
    const T* image = in + task / out_h * h * w * c;
    const int64_t p = task % out_h, top = window.begin(p), bottom = window.end(p, h);
    for (int64_t q = 0; q < out_w; ++q) {
      T* to = out + (task * out_w + q) * c;
      const int64_t left = window.begin(q), right = window.end(q, w);
      for (int64_t row = top; row < bottom; ++row) {
        for (int64_t column = left; column < right; ++column) {
          const T* cell = image + (row * w + column) * c;
          row == top&& column == left ? first(to, cell, c) : next(to, cell, c);
        }
      }
      last(to, (bottom - top) * (right - left), c);
    }
  });
}

// add(to, cell, window of it, cells of that window, channels), in offsets of pixels, for every window that sees a cell.
template <class T, class Add>
void for_each_cell(const PoolWindow& window, const Tensor& dy, Tensor& dx, Add add) {
  const int64_t h = dx.shape[1], w = dx.shape[2], c = dx.shape[3], out_h = dy.shape[1], out_w = dy.shape[2];
  T* out = dx.data<T>();
  simd_for(dx.shape[0] * h, [=](int64_t task) {
    const int64_t image = task / h, row = task % h;
    for (int64_t column = 0; column < w; ++column) {
      T* to = out + (task * w + column) * c;
      std::fill_n(to, c, T{0});
      for (int64_t p = window.first_output(row); p <= window.last_output(row, h); ++p) {
        for (int64_t q = window.first_output(column); q <= window.last_output(column, w); ++q) {
          add(to, image, row, column, p, q, (image * out_h + p) * out_w + q);
        }
      }
    }
  });
}

}  // namespace

void max_pool_forward(Context&, const PoolWindow& window, const Tensor& x, Tensor& y) {
  dispatch_float(x.dtype, [&]<class T>() {
    for_each_window<T>(
        window, x, y, [](T* to, const T* cell, int64_t c) { std::copy_n(cell, c, to); },
        [](T* to, const T* cell, int64_t c) {
#pragma GCC ivdep
          for (int64_t i = 0; i < c; ++i) to[i] = cell[i] > to[i] || cell[i] != cell[i] ? cell[i] : to[i];
        },
        [](T*, int64_t, int64_t) {});
  });
}

void max_pool_backward(Context&, const PoolWindow& window, const Tensor& x, const Tensor& y, const Tensor& dy,
                       Tensor& dx) {
  dispatch_float(x.dtype, [&]<class T>() {
    const int64_t h = x.shape[1], w = x.shape[2], c = x.shape[3];
    const T *in = x.data<T>(), *maximum = y.data<T>(), *grad_out = dy.data<T>();
    for_each_cell<T>(
        window, dy, dx, [=](T* to, int64_t image, int64_t row, int64_t column, int64_t p, int64_t q, int64_t at) {
          const int64_t right = window.end(q, w);
          for (int64_t i = 0; i < c; ++i) {
            const T value = maximum[at * c + i];
            auto holds = [&](int64_t r, int64_t s) { return in[((image * h + r) * w + s) * c + i] == value; };
            bool receives = holds(row, column);
            for (int64_t r = window.begin(p); r <= row && receives; ++r) {
              const int64_t end = r == row ? column : right;
              for (int64_t s = window.begin(q); s < end && receives; ++s) receives = !holds(r, s);
            }
            if (receives) to[i] += grad_out[at * c + i];
          }
        });
  });
}

void avg_pool_forward(Context&, const PoolWindow& window, const Tensor& x, Tensor& y) {
  dispatch_float(x.dtype, [&]<class T>() {
    for_each_window<T>(
        window, x, y, [](T* to, const T* cell, int64_t c) { std::copy_n(cell, c, to); },
        [](T* to, const T* cell, int64_t c) {
#pragma GCC ivdep
          for (int64_t i = 0; i < c; ++i) to[i] += cell[i];
        },
        [](T* to, int64_t cells, int64_t c) {
          const T count = static_cast<T>(cells);
          for (int64_t i = 0; i < c; ++i) to[i] /= count;
        });
  });
}

void avg_pool_backward(Context&, const PoolWindow& window, const Tensor& dy, Tensor& dx) {
  dispatch_float(dy.dtype, [&]<class T>() {
    const int64_t h = dx.shape[1], w = dx.shape[2], c = dx.shape[3];
    const T* grad_out = dy.data<T>();
    for_each_cell<T>(window, dy, dx, [=](T* to, int64_t, int64_t, int64_t, int64_t p, int64_t q, int64_t at) {
      const int64_t cells = (window.end(p, h) - window.begin(p)) * (window.end(q, w) - window.begin(q));
      const T count = static_cast<T>(cells);
      const T* from = grad_out + at * c;
#pragma GCC ivdep
      for (int64_t i = 0; i < c; ++i) to[i] += from[i] / count;
    });
  });
}

}  // namespace poise::cpu
