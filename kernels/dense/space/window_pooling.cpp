// Pooling over windows on the CPU. A task is one row of the result; the innermost loops run over the channels of one
// cell. The gradients gather, for each cell of x, from the windows that contain it, so no two tasks write to one place.
#include "kernels/dense/space/window_pooling.h"

#include <algorithm>

#include "kernels/core/dispatch.h"
#include "kernels/core/simd.h"

namespace poise::cpu {
namespace {

constexpr int64_t kChannels = 256;  // channels whose results a task keeps on its stack

// Calls first(sums, cell, channels) for the first cell of each window, then next(...) for the others in row order, then
// last(sums, number of cells, channels), for runs of at most kChannels channels.
template <class T, class First, class Next, class Last>
void for_each_window(const PoolWindow& window, const Tensor& x, Tensor& y, First first, Next next, Last last) {
  const int64_t h = x.shape[1], w = x.shape[2], c = x.shape[3], out_h = y.shape[1], out_w = y.shape[2];
  const T* in = x.data<T>();
  T* out = y.data<T>();
  simd_for(y.shape[0] * out_h, [=](int64_t task) {
    alignas(64) Computed<T> sums[kChannels];
    const T* image = in + task / out_h * h * w * c;
    const int64_t p = task % out_h, top = window.begin(p), bottom = window.end(p, h);
    for (int64_t q = 0; q < out_w; ++q) {
      const int64_t left = window.begin(q), right = window.end(q, w);
      for (int64_t from = 0; from < c; from += kChannels) {
        const int64_t channels = std::min(kChannels, c - from);
        for (int64_t row = top; row < bottom; ++row) {
          for (int64_t column = left; column < right; ++column) {
            const T* cell = image + (row * w + column) * c + from;
            row == top&& column == left ? first(sums, cell, channels) : next(sums, cell, channels);
          }
        }
        last(sums, (bottom - top) * (right - left), channels);
        T* to = out + (task * out_w + q) * c + from;
        for (int64_t i = 0; i < channels; ++i) to[i] = stored<T>(sums[i]);
      }
    }
  });
}

// A cell of x and a window that contains it, both for `channels` channels from channel `first` on.
struct Sight {
  int64_t image, row, column;  // the cell
  int64_t p, q, at;            // the window, and its index among all windows
  int64_t first, channels;
};

// Calls add(sums, sight) for every window that contains a cell.
template <class T, class Add>
void for_each_cell(const PoolWindow& window, const Tensor& dy, Tensor& dx, Add add) {
  const int64_t h = dx.shape[1], w = dx.shape[2], c = dx.shape[3], out_h = dy.shape[1], out_w = dy.shape[2];
  T* out = dx.data<T>();
  simd_for(dx.shape[0] * h, [=](int64_t task) {
    alignas(64) Computed<T> sums[kChannels];
    const int64_t image = task / h, row = task % h;
    for (int64_t column = 0; column < w; ++column) {
      for (int64_t first = 0; first < c; first += kChannels) {
        const int64_t channels = std::min(kChannels, c - first);
        std::fill_n(sums, channels, Computed<T>{0});
        for (int64_t p = window.first_output(row); p <= window.last_output(row, h); ++p) {
          for (int64_t q = window.first_output(column); q <= window.last_output(column, w); ++q) {
            add(sums, Sight{image, row, column, p, q, (image * out_h + p) * out_w + q, first, channels});
          }
        }
        T* to = out + (task * w + column) * c + first;
        for (int64_t i = 0; i < channels; ++i) to[i] = stored<T>(sums[i]);
      }
    }
  });
}

// sums = the cell.
template <class T>
void take(Computed<T>* sums, const T* cell, int64_t c) {
  for (int64_t i = 0; i < c; ++i) sums[i] = computed(cell[i]);
}

}  // namespace

void max_pool_forward(Context&, const PoolWindow& window, const Tensor& x, Tensor& y) {
  dispatch_stored(x.dtype, [&]<class T>() {
    using Number = Computed<T>;
    for_each_window<T>(
        window, x, y, [](Number* sums, const T* cell, int64_t c) { take(sums, cell, c); },
        [](Number* sums, const T* cell, int64_t c) {
          for (int64_t i = 0; i < c; ++i) {
            const Number value = computed(cell[i]);
            sums[i] = value > sums[i] || value != value ? value : sums[i];
          }
        },
        [](Number*, int64_t, int64_t) {});
  });
}

void max_pool_backward(Context&, const PoolWindow& window, const Tensor& x, const Tensor& y, const Tensor& dy,
                       Tensor& dx) {
  dispatch_stored(x.dtype, [&]<class T>() {
    const int64_t h = x.shape[1], w = x.shape[2], c = x.shape[3];
    const T *in = x.data<T>(), *maximum = y.data<T>(), *grad_out = dy.data<T>();
    for_each_cell<T>(window, dy, dx, [=](Computed<T>* sums, const Sight& s) {
      const int64_t right = window.end(s.q, w);
      for (int64_t i = 0; i < s.channels; ++i) {
        const int64_t channel = s.first + i;
        const auto value = computed(maximum[s.at * c + channel]);
        auto holds = [&](int64_t row, int64_t column) {
          return computed(in[((s.image * h + row) * w + column) * c + channel]) == value;
        };
        bool receives = holds(s.row, s.column);
        for (int64_t row = window.begin(s.p); row <= s.row && receives; ++row) {
          const int64_t end = row == s.row ? s.column : right;
          for (int64_t column = window.begin(s.q); column < end && receives; ++column) receives = !holds(row, column);
        }
        if (receives) sums[i] += computed(grad_out[s.at * c + channel]);
      }
    });
  });
}

void avg_pool_forward(Context&, const PoolWindow& window, const Tensor& x, Tensor& y) {
  dispatch_stored(x.dtype, [&]<class T>() {
    using Number = Computed<T>;
    for_each_window<T>(
        window, x, y, [](Number* sums, const T* cell, int64_t c) { take(sums, cell, c); },
        [](Number* sums, const T* cell, int64_t c) {
          for (int64_t i = 0; i < c; ++i) sums[i] += computed(cell[i]);
        },
        [](Number* sums, int64_t cells, int64_t c) {
          const auto count = static_cast<Number>(cells);
          for (int64_t i = 0; i < c; ++i) sums[i] /= count;
        });
  });
}

void avg_pool_backward(Context&, const PoolWindow& window, const Tensor& dy, Tensor& dx) {
  dispatch_stored(dy.dtype, [&]<class T>() {
    const int64_t h = dx.shape[1], w = dx.shape[2], c = dx.shape[3];
    const T* grad_out = dy.data<T>();
    for_each_cell<T>(window, dy, dx, [=](Computed<T>* sums, const Sight& s) {
      const int64_t cells = (window.end(s.p, h) - window.begin(s.p)) * (window.end(s.q, w) - window.begin(s.q));
      const auto count = static_cast<Computed<T>>(cells);
      const T* from = grad_out + s.at * c + s.first;
      for (int64_t i = 0; i < s.channels; ++i) sums[i] += computed(from[i]) / count;
    });
  });
}

}  // namespace poise::cpu
