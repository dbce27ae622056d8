// Kernels over all elements of a tensor, in any order. Threads access 16 bytes at a time if every tensor begins at a
// multiple of 16 (all tensors of an arena do; slices may not), and the tail element by element.
#pragma once
#include <initializer_list>

#include "kernels/gpu/device_limits.h"
#include "kernels/gpu/gpu.h"

namespace poise::POISE_GPU {

// Calls f(i) for i in 0..n-1.
template <class F>
__device__ inline void for_each_element(int64_t n, const F& f) {
  const int64_t stride = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n; i += stride) f(i);
}

// Calls f<N>(i) for i = 0, N, 2N ... while N elements are left, then f<1>(i) for the rest. Needs at least N threads.
template <int N, class F>
__device__ inline void for_each_vector(int64_t n, const F& f) {
  const int64_t vectors = n / N;
  for_each_element(vectors, [&](int64_t v) { f.template operator()<N>(v * N); });
  if constexpr (N > 1) {
    const int64_t i = vectors * N + threadIdx.x;
    if (blockIdx.x == 0 && i < n) f.template operator()<1>(i);
  }
}

template <int N, class T>
__device__ inline Vector<float, N> load_floats(const T* from) {
  const Vector<T, N> stored = load_vector<N>(from);
  Vector<float, N> v;
#pragma unroll
  for (int k = 0; k < N; ++k) v[k] = to_float(stored[k]);
  return v;
}
template <class T, int N>
__device__ inline void store_floats(T* to, const Vector<float, N>& v) {
  Vector<T, N> stored;
#pragma unroll
  for (int k = 0; k < N; ++k) stored[k] = from_float<T>(v[k]);
  store_vector(to, stored);
}

// y[i] = f(x[i]...), computed in f32. y may be one of the x.
template <int N, class T, class F, class... In>
__device__ inline void map_elements(int64_t n, const F& f, T* y, const In*... x) {
  for_each_vector<N>(n, [&]<int Width>(int64_t i) {
    Vector<float, Width> result;
    const auto apply = [&](const auto&... v) {
#pragma unroll
      for (int k = 0; k < Width; ++k) result[k] = f(v[k]...);
    };
    apply(load_floats<Width>(x + i)...);
    store_floats(y + i, result);
  });
}

constexpr int kElementwiseThreads = 256;
constexpr int64_t kElementwiseBlocks = kMultiprocessors * 8;  // fills every multiprocessor

// The launch shape for `work` elements or vectors, one per thread.
inline LaunchShape elementwise(int64_t work) {
  const int64_t blocks = ceil_div<int64_t>(work, kElementwiseThreads);
  return {.grid = static_cast<uint32_t>(blocks < 1                    ? 1
                                        : blocks < kElementwiseBlocks ? blocks
                                                                      : kElementwiseBlocks),
          .block = kElementwiseThreads};
}

// Dispatches on the element type of an activation: calls f<float>() or f<bf16>().
template <class F>
void dispatch_stored(DType dtype, const F& f) {
  if (dtype == DType::bf16) return f.template operator()<bf16>();
  require(dtype == DType::f32, "the GPU kernels exist for f32 and bf16 only");
  f.template operator()<float>();
}

inline bool aligned_to_16_bytes(std::initializer_list<const Tensor*> tensors) {
  for (const Tensor* t : tensors) {
    if (reinterpret_cast<uintptr_t>(t->bytes) % 16 != 0) return false;
  }
  return true;
}

// Calls f<N>() with the widest N for which all accesses of T at multiples of N are aligned. Tensors are read row by
// row, with rows of `row` elements, or (row 0) as one long row with a tail.
template <class T, class F>
void dispatch_width(int64_t row, std::initializer_list<const Tensor*> tensors, const F& f) {
  constexpr int kWide = 16 / sizeof(T);
  if (row % kWide == 0 && aligned_to_16_bytes(tensors)) return f.template operator()<kWide>();
  f.template operator()<1>();
}

// Calls f<T, N>() for an element-wise kernel over tensors of one dtype: T is the element type, N the vector width.
template <class F>
void dispatch_elementwise(DType dtype, std::initializer_list<const Tensor*> tensors, const F& f) {
  dispatch_stored(dtype,
                  [&]<class T>() { dispatch_width<T>(0, tensors, [&]<int N>() { f.template operator()<T, N>(); }); });
}

}  // namespace poise::POISE_GPU
