// The next minibatch on the CPU: one task per image. Flips are drawn per (image of the batch, batch), so they do not
// depend on the number of steps between two batches.
#include "kernels/train/gather_images.h"

#include "kernels/core/dispatch.h"
#include "kernels/core/simd.h"

namespace poise::cpu {

void gather_images(Context& ctx, const GatherOptions& options, const Tensor& images, const Tensor& labels, Tensor& y,
                   Tensor& y_labels) {
  dispatch_stored(y.dtype, [&]<class T>() {
    const int64_t h = y.shape[1], w = y.shape[2], c = y.shape[3];
    const auto count = static_cast<uint64_t>(images.shape[0]), batch_size = static_cast<uint64_t>(y.shape[0]);
    const uint64_t seed = ctx.step->seed, batch = ctx.step->d_batches;
    const uint8_t* all = images.data<uint8_t>();
    T* out = y.data<T>();
    const int32_t* all_labels = labels ? labels.data<int32_t>() : nullptr;
    int32_t* out_labels = labels ? y_labels.data<int32_t>() : nullptr;
    simd_for(y.shape[0], [=](int64_t task) {
      const auto j = static_cast<uint64_t>(task);
      const uint64_t index = gathered_place(options, seed, count, batch_size, batch, j);
      if (out_labels) out_labels[j] = all_labels[index];
      const bool mirrored =
          options.flip && (philox4x32(seed, j, static_cast<uint32_t>(RandomStream::flip), batch).x[0] & 1) != 0;
      const uint8_t* image = all + static_cast<int64_t>(index) * h * w * c;
      T* to = out + task * h * w * c;
      for (int64_t row = 0; row < h; ++row) {
        for (int64_t column = 0; column < w; ++column) {
          const uint8_t* pixel = image + (row * w + (mirrored ? w - 1 - column : column)) * c;
          for (int64_t i = 0; i < c; ++i)
            *to++ = stored<T>(static_cast<Computed<T>>(pixel[i]) / Computed<T>{127.5} - 1);
        }
      }
    });
  });
  ctx.step->d_batches += 1;
}

}  // namespace poise::cpu
