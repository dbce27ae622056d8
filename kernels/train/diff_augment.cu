// Differentiable augmentation: one block per image, whose threads all draw the same numbers. Colour needs the mean of
// the image first (or of the gradients that arrive), summed in a fixed order; then a thread per pixel reads and writes
// C neighbouring elements, as on the CPU. Bytes: the tensor is read once or (colour) twice, the second time from the
// cache, and written once: [128,32,32,3] in f32 3.1 MB, 1 us at 4.3 TB/s, so the cost is that of a launch. Predicted;
// not yet measured on a GPU.
#include "kernels/train/diff_augment.h"

#include "kernels/gpu/elementwise.cuh"
#include "kernels/gpu/reduce.cuh"

namespace poise::POISE_GPU {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarp;

// The pixel that an output pixel reads, or -1 if none. Forward: it is outside, or the output is cut. Backward: no pixel
// shows this one, or the one that does was cut.
template <bool Backward>
__device__ inline int source_of(const Augmentation& a, int pixel, int h, int w) {
  const int row = pixel / w, column = pixel % w;
  const int from_row = Backward ? row - a.shift_h : row + a.shift_h;
  const int from_column = Backward ? column - a.shift_w : column + a.shift_w;
  if (from_row < 0 || from_row >= h || from_column < 0 || from_column >= w) return -1;
  const bool cut = Backward ? a.cut(from_row, from_column) : a.cut(row, column);
  return cut ? -1 : from_row * w + from_column;
}

template <class T>
__device__ inline float sum_pixel(const T* from, int c) {
  float sum = 0;
  for (int i = 0; i < c; ++i) sum += to_float(from[i]);
  return sum;
}

template <class T, bool Backward>
__global__ __launch_bounds__(kThreads) void diff_augment_kernel(DiffAugmentOptions options, const StepState* step,
                                                                int h, int w, int c, const T* in, T* out) {
  GPU_SHARED(shared, float[kWarps]);
  const int pixels = h * w;
  const Augmentation a = augmentation_of(options, *step, blockIdx.x, h, w);
  const T* x = in + int64_t{blockIdx.x} * pixels * c;
  T* y = out + int64_t{blockIdx.x} * pixels * c;
  float offset = 0;
  if (options.color) {
    float sum = 0;
    for (int pixel = static_cast<int>(threadIdx.x); pixel < pixels; pixel += kThreads) {
      const int from = Backward ? source_of<true>(a, pixel, h, w) : pixel;
      if (from >= 0) sum += sum_pixel(x + from * c, c);
    }
    const float mean = block_sum<kWarps>(sum, shared) / static_cast<float>(pixels * c);
    offset = (Backward ? 0.0f : a.brightness) + (1 - a.contrast) * mean;
  }
  const float own = a.contrast * a.saturation, shared_part = a.contrast * (1 - a.saturation) / static_cast<float>(c);
  for (int pixel = static_cast<int>(threadIdx.x); pixel < pixels; pixel += kThreads) {
    const int from = source_of<Backward>(a, pixel, h, w);
    T* to = y + pixel * c;
    if (from < 0) {
      for (int i = 0; i < c; ++i) to[i] = from_float<T>(Backward ? offset : 0.0f);
      continue;
    }
    const float rest = offset + shared_part * sum_pixel(x + from * c, c);
    for (int i = 0; i < c; ++i) to[i] = from_float<T>(rest + own * to_float(x[from * c + i]));
  }
}

template <bool Backward>
void augment(Context& ctx, const DiffAugmentOptions& options, const Tensor& in, Tensor& out) {
  dispatch_stored(in.dtype, [&]<class T>() {
    launch(ctx, {.grid = static_cast<uint32_t>(in.shape[0]), .block = kThreads}, diff_augment_kernel<T, Backward>,
           options, ctx.step, static_cast<int>(in.shape[1]), static_cast<int>(in.shape[2]),
           static_cast<int>(in.shape[3]), in.data<T>(), out.data<T>());
  });
}

}  // namespace

void diff_augment_forward(Context& ctx, const DiffAugmentOptions& options, const Tensor& x, Tensor& y) {
  augment<false>(ctx, options, x, y);
}

void diff_augment_backward(Context& ctx, const DiffAugmentOptions& options, const Tensor& dy, Tensor& dx) {
  augment<true>(ctx, options, dy, dx);
}

}  // namespace poise::POISE_GPU
