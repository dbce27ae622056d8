// Differentiable augmentation on the CPU: one task per image. Both directions are one loop in which output pixel `at`
// reads input pixel `from`, and colour acts on what was read. Forward, from = at + shift, and cutout applies to the
// pixels written; backward, from = at - shift, and cutout applies to the pixels read.
#include "kernels/train/diff_augment.h"

#include "kernels/core/dispatch.h"
#include "kernels/core/parallel.h"

namespace poise::cpu {
namespace {

template <class T>
Computed<T> mean_of(const T* x, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += static_cast<double>(computed(x[i]));
  return static_cast<Computed<T>>(sum / static_cast<double>(count));
}

// The mean of the gradients that arrive: pixels of dy that were cut, or that show nothing, contribute none.
template <class T>
Computed<T> mean_seen(const Augmentation& a, const T* dy, int h, int w, int c) {
  double sum = 0;
  for (int row = 0; row < h; ++row) {
    for (int column = 0; column < w; ++column) {
      const int shown_row = row + a.shift_h, shown_column = column + a.shift_w;
      if (a.cut(row, column) || shown_row < 0 || shown_row >= h || shown_column < 0 || shown_column >= w) continue;
      for (int i = 0; i < c; ++i) sum += static_cast<double>(computed(dy[(int64_t{row} * w + column) * c + i]));
    }
  }
  return static_cast<Computed<T>>(sum / (static_cast<double>(h) * w * c));
}

// Colours one pixel: to[i] = offset + c (1 - s) m + c s from[i], where m is the mean of from.
template <class T, class Number = Computed<T>>
void colour_pixel(Number offset, Number contrast, Number saturation, const T* from, int c, T* to) {
  const Number own = contrast * saturation, shared = contrast * (1 - saturation) * mean_of(from, c);
  for (int i = 0; i < c; ++i) to[i] = stored<T>(offset + shared + own * computed(from[i]));
}

template <class T, bool Backward>
void augment(Context& ctx, const DiffAugmentOptions& options, const Tensor& in, Tensor& out) {
  const int h = static_cast<int>(in.shape[1]), w = static_cast<int>(in.shape[2]), c = static_cast<int>(in.shape[3]);
  const StepState step = *ctx.step;
  const int64_t elements = int64_t{h} * w * c;
  parallel_for(in.shape[0], [&, h, w, c](int64_t image) {
    const Augmentation a = augmentation_of(options, step, image, h, w);
    const T* x = in.data<T>() + image * elements;
    T* y = out.data<T>() + image * elements;
    using Number = Computed<T>;
    const auto saturation = static_cast<Number>(a.saturation), contrast = static_cast<Number>(a.contrast);
    Number offset = 0;
    if (options.color) {
      const Number mean = Backward ? mean_seen(a, x, h, w, c) : mean_of(x, elements);
      offset = (Backward ? 0 : static_cast<Number>(a.brightness)) + (1 - contrast) * mean;
    }
    for (int row = 0; row < h; ++row) {
      for (int column = 0; column < w; ++column, y += c) {
        const int from_row = Backward ? row - a.shift_h : row + a.shift_h;
        const int from_column = Backward ? column - a.shift_w : column + a.shift_w;
        const bool inside = from_row >= 0 && from_row < h && from_column >= 0 && from_column < w;
        const bool cut = Backward ? a.cut(from_row, from_column) : a.cut(row, column);
        if (inside && !cut) {
          colour_pixel<T>(offset, contrast, saturation, x + (int64_t{from_row} * w + from_column) * c, c, y);
        } else {
          for (int i = 0; i < c; ++i) y[i] = stored<T>(Backward ? offset : Number{0});
        }
      }
    }
  });
}

}  // namespace

void diff_augment_forward(Context& ctx, const DiffAugmentOptions& options, const Tensor& x, Tensor& y) {
  dispatch_stored(x.dtype, [&]<class T>() { augment<T, false>(ctx, options, x, y); });
}

void diff_augment_backward(Context& ctx, const DiffAugmentOptions& options, const Tensor& dy, Tensor& dx) {
  dispatch_stored(dy.dtype, [&]<class T>() { augment<T, true>(ctx, options, dy, dx); });
}

}  // namespace poise::cpu
