// Normal numbers: one thread per Philox counter makes four elements from the same uniform numbers as on the CPU, with
// the Box-Muller transform in f32. Bytes: the tensor once; about 150 integer and floating-point operations per counter.
// Latents [64,128]: 2,048 threads, so the cost is that of a launch.
#include "kernels/train/random.h"

#include "kernels/gpu/elementwise.cuh"

namespace poise::POISE_GPU {
namespace {

// cos and sin of 2 pi u as -cos and -sin of 2 pi (u - 1/2): u - 1/2 is exact, and half the angle has half the error.
__device__ inline void box_muller(float u0, float u1, float& z0, float& z1) {
  constexpr float kTwoPi = 6.28318530717958647692f;
  const float radius = -sqrtf(-2 * logf(u0)), angle = kTwoPi * (u1 - 0.5f);
  z0 = radius * cosf(angle);
  z1 = radius * sinf(angle);
}

template <class T, int N>
__global__ void random_normal_kernel(RandomStream stream, const StepState* step, int64_t n, T* y) {
  for_each_element(ceil_div<int64_t>(n, 4), [&](int64_t counter) {
    const Philox4 bits =
        philox4x32(step->seed, static_cast<uint64_t>(counter), static_cast<uint32_t>(stream), step->step);
    Vector<float, 4> z;
#pragma unroll
    for (int i = 0; i < 4; i += 2) {
      box_muller(uniform_open(bits.x[i]), uniform_open(bits.x[i + 1]), z[i], z[i + 1]);
    }
    T* to = y + 4 * counter;
    if constexpr (N == 4) {
      if (4 * counter + 4 <= n) return store_floats(to, z);
    }
    for (int i = 0; i < 4 && 4 * counter + i < n; ++i) to[i] = from_float<T>(z[i]);
  });
}

// One thread per label; a batch has a few hundred.
__global__ void random_labels_kernel(RandomStream stream, const StepState* step, int64_t classes, int64_t n,
                                     int32_t* y) {
  for_each_element(n, [&](int64_t i) {
    const Philox4 bits =
        philox4x32(step->seed, static_cast<uint64_t>(i / 4), static_cast<uint32_t>(stream), step->step);
    y[i] = label_of(bits.x[i % 4], classes);
  });
}

}  // namespace

void random_normal(Context& ctx, RandomStream stream, Tensor& y) {
  dispatch_stored(y.dtype, [&]<class T>() {
    dispatch_width<float>(0, {&y}, [&]<int N>() {
      launch(ctx, elementwise(ceil_div<int64_t>(y.elements(), 4)), random_normal_kernel<T, N>, stream, ctx.step,
             y.elements(), y.data<T>());
    });
  });
}

void random_labels(Context& ctx, RandomStream stream, int64_t classes, Tensor& y) {
  launch(ctx, elementwise(y.elements()), random_labels_kernel, stream, ctx.step, classes, y.elements(),
         y.data<int32_t>());
}

}  // namespace poise::POISE_GPU
