// A small image and one of twice its size: the two maps that pooling and nearest-neighbour enlargement share, each
// being the other's gradient. One thread per 16 bytes of channels of a small pixel: the four large pixels it meets are
// read or written in whole rows of channels, so all accesses are coalesced. Bound by memory: 5 elements moved per small
// element.
#pragma once
#include "kernels/gpu/elementwise.cuh"

namespace poise::POISE_GPU {

// f(small, large): the offset of each small vector, and that of the upper left of its four large ones.
template <int N, class F>
__device__ inline void for_each_block_2x2(int64_t vectors, uint32_t w, uint32_t c, const F& f) {
  const uint32_t vectors_per_pixel = c / N;
  for_each_element(vectors, [&](int64_t v) {
    const auto pixel = static_cast<uint32_t>(v / vectors_per_pixel);
    const auto channel = static_cast<uint32_t>(v % vectors_per_pixel) * N;
    const uint32_t row = pixel / w, q = pixel % w;
    f(v * N, (int64_t{4} * row * w + 2 * q) * c + channel);
  });
}

template <class T, int N>
__global__ void sum_blocks_2x2_kernel(float scale, int64_t vectors, uint32_t w, uint32_t c, const T* large, T* small) {
  for_each_block_2x2<N>(vectors, w, c, [&](int64_t to, int64_t from) {
    const T* below = large + from + int64_t{2} * w * c;
    const auto upper_left = load_floats<N>(large + from), upper_right = load_floats<N>(large + from + c);
    const auto lower_left = load_floats<N>(below), lower_right = load_floats<N>(below + c);
    Vector<float, N> sum;
#pragma unroll
    for (int k = 0; k < N; ++k) sum[k] = scale * ((upper_left[k] + upper_right[k]) + (lower_left[k] + lower_right[k]));
    store_floats(small + to, sum);
  });
}

template <class T, int N>
__global__ void spread_blocks_2x2_kernel(float scale, int64_t vectors, uint32_t w, uint32_t c, const T* small,
                                         T* large) {
  for_each_block_2x2<N>(vectors, w, c, [&](int64_t from, int64_t to) {
    T* below = large + to + int64_t{2} * w * c;
    auto value = load_floats<N>(small + from);
#pragma unroll
    for (int k = 0; k < N; ++k) value[k] *= scale;
    store_floats(large + to, value);
    store_floats(large + to + c, value);
    store_floats(below, value);
    store_floats(below + c, value);
  });
}

// small[n,p,q,c] = scale * (sum of the 2x2 block of large).  small [N,H,W,C], large [N,2H,2W,C].
inline void sum_blocks_2x2(Context& ctx, double scale, const Tensor& large, Tensor& small) {
  const auto w = static_cast<uint32_t>(small.shape[2]), c = static_cast<uint32_t>(small.shape[3]);
  dispatch_stored(small.dtype, [&]<class T>() {
    dispatch_width<T>(c, {&large, &small}, [&]<int N>() {
      const int64_t vectors = small.elements() / N;
      launch(ctx, elementwise(vectors), sum_blocks_2x2_kernel<T, N>, static_cast<float>(scale), vectors, w, c,
             large.data<T>(), small.data<T>());
    });
  });
}

// large[n,2p+a,2q+b,c] = scale * small[n,p,q,c]
inline void spread_blocks_2x2(Context& ctx, double scale, const Tensor& small, Tensor& large) {
  const auto w = static_cast<uint32_t>(small.shape[2]), c = static_cast<uint32_t>(small.shape[3]);
  dispatch_stored(small.dtype, [&]<class T>() {
    dispatch_width<T>(c, {&large, &small}, [&]<int N>() {
      const int64_t vectors = small.elements() / N;
      launch(ctx, elementwise(vectors), spread_blocks_2x2_kernel<T, N>, static_cast<float>(scale), vectors, w, c,
             small.data<T>(), large.data<T>());
    });
  });
}

}  // namespace poise::POISE_GPU
