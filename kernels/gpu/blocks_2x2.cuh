// A small image and one of twice its size: the two maps that pooling and nearest-neighbour enlargement share, each the
// gradient of the other. One thread per 16 bytes of channels of a small pixel reads or writes the same channels of its
// four large pixels, so all accesses are coalesced. Memory-bound: 5 elements moved per small element. A last row or
// column of the large image beyond twice the small one belongs to no block.
#pragma once
#include "kernels/gpu/elementwise.cuh"

namespace poise::POISE_GPU {

struct Blocks2x2 {
  uint32_t h, w, c;           // of the small image
  uint32_t large_h, large_w;  // twice that, or one more

  Blocks2x2(const Shape& large, const Shape& small)
      : h(static_cast<uint32_t>(small[1])),
        w(static_cast<uint32_t>(small[2])),
        c(static_cast<uint32_t>(small[3])),
        large_h(static_cast<uint32_t>(large[1])),
        large_w(static_cast<uint32_t>(large[2])) {}
  __device__ int64_t large_row() const { return int64_t{large_w} * c; }
};

// Calls f(small, large, p, q) with the offset of each small vector, the offset of the upper left of its four large
// vectors, and the coordinates of the small pixel.
template <int N, class F>
__device__ inline void for_each_block_2x2(int64_t vectors, const Blocks2x2& blocks, const F& f) {
  const uint32_t vectors_per_pixel = blocks.c / N;
  for_each_element(vectors, [&](int64_t v) {
    const auto pixel = static_cast<uint32_t>(v / vectors_per_pixel);
    const auto channel = static_cast<uint32_t>(v % vectors_per_pixel) * N;
    const uint32_t row = pixel / blocks.w, q = pixel % blocks.w, n = row / blocks.h, p = row % blocks.h;
    f(v * N, ((int64_t{n} * blocks.large_h + 2 * p) * blocks.large_w + 2 * q) * blocks.c + channel, p, q);
  });
}

// Writes zeros to the large pixels outside the blocks next to small pixel (p,q). `large`: its upper left large pixel.
template <int N, class T>
__device__ inline void clear_left_over(const Blocks2x2& blocks, uint32_t p, uint32_t q, T* large) {
  const Vector<float, N> zero{};
  const bool column = q == blocks.w - 1 && blocks.large_w > 2 * blocks.w;
  const bool row = p == blocks.h - 1 && blocks.large_h > 2 * blocks.h;
  const int64_t right = int64_t{2} * blocks.c, below = 2 * blocks.large_row();
  if (column) store_floats(large + right, zero), store_floats(large + blocks.large_row() + right, zero);
  if (row) store_floats(large + below, zero), store_floats(large + below + blocks.c, zero);
  if (row && column) store_floats(large + below + right, zero);
}

template <class T, int N>
__global__ void sum_blocks_2x2_kernel(float scale, int64_t vectors, Blocks2x2 blocks, const T* large, T* small) {
  for_each_block_2x2<N>(vectors, blocks, [&](int64_t to, int64_t from, uint32_t, uint32_t) {
    const uint32_t c = blocks.c;
    const T* below = large + from + blocks.large_row();
    const auto upper_left = load_floats<N>(large + from), upper_right = load_floats<N>(large + from + c);
    const auto lower_left = load_floats<N>(below), lower_right = load_floats<N>(below + c);
    Vector<float, N> sum;
#pragma unroll
    for (int k = 0; k < N; ++k) sum[k] = scale * ((upper_left[k] + upper_right[k]) + (lower_left[k] + lower_right[k]));
    store_floats(small + to, sum);
  });
}

template <class T, int N>
__global__ void spread_blocks_2x2_kernel(float scale, int64_t vectors, Blocks2x2 blocks, const T* small, T* large) {
  for_each_block_2x2<N>(vectors, blocks, [&](int64_t from, int64_t to, uint32_t p, uint32_t q) {
    const uint32_t c = blocks.c;
    T* below = large + to + blocks.large_row();
    auto value = load_floats<N>(small + from);
#pragma unroll
    for (int k = 0; k < N; ++k) value[k] *= scale;
    store_floats(large + to, value);
    store_floats(large + to + c, value);
    store_floats(below, value);
    store_floats(below + c, value);
    clear_left_over<N>(blocks, p, q, large + to);
  });
}

// small[n,p,q,c] = scale * (sum of the 2x2 block of large).  small [N,H,W,C], large [N,2H,2W,C].
inline void sum_blocks_2x2(Context& ctx, double scale, const Tensor& large, Tensor& small) {
  const Blocks2x2 blocks(large.shape, small.shape);
  dispatch_stored(small.dtype, [&]<class T>() {
    dispatch_width<T>(blocks.c, {&large, &small}, [&]<int N>() {
      const int64_t vectors = small.elements() / N;
      launch(ctx, elementwise(vectors), sum_blocks_2x2_kernel<T, N>, static_cast<float>(scale), vectors, blocks,
             large.data<T>(), small.data<T>());
    });
  });
}

// large[n,2p+a,2q+b,c] = scale * small[n,p,q,c], and 0 beyond the blocks.
inline void spread_blocks_2x2(Context& ctx, double scale, const Tensor& small, Tensor& large) {
  const Blocks2x2 blocks(large.shape, small.shape);
  dispatch_stored(small.dtype, [&]<class T>() {
    dispatch_width<T>(blocks.c, {&large, &small}, [&]<int N>() {
      const int64_t vectors = small.elements() / N;
      launch(ctx, elementwise(vectors), spread_blocks_2x2_kernel<T, N>, static_cast<float>(scale), vectors, blocks,
             small.data<T>(), large.data<T>());
    });
  });
}

}  // namespace poise::POISE_GPU
