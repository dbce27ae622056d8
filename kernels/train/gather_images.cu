// The next minibatch: one block per image. Its first thread determines which image that is; then a thread per element
// reads a byte (mirrored rows hit the cache, too) and writes a float, coalesced. A launch of one thread advances the
// counter afterwards, because every block reads it. Bytes: [64,32,32,3] reads 0.2 MB and writes 0.8 MB:
// 0.2 us at 4.3 TB/s, so the cost is that of two launches. Predicted; not yet measured on a GPU.
#include "kernels/train/gather_images.h"

#include "kernels/gpu/elementwise.cuh"

namespace poise::POISE_GPU {
namespace {

constexpr int kGatherThreads = 256;

struct Choice {
  int64_t image;
  bool mirrored;
};

template <class T>
__global__ __launch_bounds__(kGatherThreads) void gather_images_kernel(GatherOptions options, const StepState* step,
                                                                       int64_t count, int h, int w, int c,
                                                                       const uint8_t* images, const int32_t* labels,
                                                                       T* y, int32_t* y_labels) {
  GPU_SHARED(choice, Choice);
  if (threadIdx.x == 0) {
    const uint64_t seed = step->seed, batch = step->d_batches, j = blockIdx.x;
    choice.image =
        static_cast<int64_t>(gathered_place(options, seed, static_cast<uint64_t>(count), gridDim.x, batch, j));
    if (labels) y_labels[j] = labels[choice.image];
    choice.mirrored =
        options.flip && (philox4x32(seed, j, static_cast<uint32_t>(RandomStream::flip), batch).x[0] & 1) != 0;
  }
  __syncthreads();
  const int elements = h * w * c, row_elements = w * c;
  const uint8_t* from = images + choice.image * elements;
  T* to = y + int64_t{blockIdx.x} * elements;
  for (int i = static_cast<int>(threadIdx.x); i < elements; i += kGatherThreads) {
    const int row = i / row_elements, column = i % row_elements / c, channel = i % c;
    const int source = choice.mirrored ? row * row_elements + (w - 1 - column) * c + channel : i;
    to[i] = from_float<T>(static_cast<float>(from[source]) / 127.5f - 1);
  }
}

__global__ void count_batch_kernel(StepState* step) { step->d_batches += 1; }

}  // namespace

void gather_images(Context& ctx, const GatherOptions& options, const Tensor& images, const Tensor& labels, Tensor& y,
                   Tensor& y_labels) {
  dispatch_stored(y.dtype, [&]<class T>() {
    launch(ctx, {.grid = static_cast<uint32_t>(y.shape[0]), .block = kGatherThreads}, gather_images_kernel<T>, options,
           ctx.step, images.shape[0], y.shape[1], y.shape[2], y.shape[3], images.data<uint8_t>(),
           labels ? labels.data<int32_t>() : nullptr, y.data<T>(), labels ? y_labels.data<int32_t>() : nullptr);
  });
  launch(ctx, {.grid = 1, .block = 1}, count_batch_kernel, ctx.step);
}

}  // namespace poise::POISE_GPU
