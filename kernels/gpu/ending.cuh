// Finishes the sums of a convolution (ending.h), a few neighbouring elements at a time.
#pragma once
#include "kernels/gpu/ending.h"

namespace poise::POISE_GPU {

// N neighbouring elements of a row: all exist and are aligned as one vector if `whole`; else only the first `count` do.
template <int N>
struct Neighbours {
  int64_t at;
  int count;
  bool whole;

  template <class T>
  __device__ Vector<T, N> read(const T* from) const {
    if (whole) return load_vector<N>(from + at);
    Vector<T, N> v{};
#pragma unroll
    for (int k = 0; k < N; ++k) {
      if (k < count) v[k] = from[at + k];
    }
    return v;
  }
  template <class T>
  __device__ void write(T* to, const Vector<T, N>& v) const {
    if (whole) return store_vector(to + at, v);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      if (k < count) to[at + k] = v[k];
    }
  }
};

// Applies `ending` to these sums and stores them in y.
template <class T, int N>
__device__ inline void store_ending(const Ending& ending, Vector<float, N> sums, const float (&biases)[N],
                                    const Neighbours<N>& place, T* y) {
#pragma unroll
  for (int k = 0; k < N; ++k) sums[k] += biases[k];
  if (ending.mask) {
    const Vector<T, N> passes = place.read(static_cast<const T*>(ending.mask));
#pragma unroll
    for (int k = 0; k < N; ++k) sums[k] = to_float(passes[k]) > 0 ? sums[k] : 0 * sums[k];
  }
  if (ending.adds) {
    const Vector<T, N> there = place.read(static_cast<const T*>(y));
#pragma unroll
    for (int k = 0; k < N; ++k) sums[k] += to_float(there[k]);
  }
  Vector<T, N> result;
#pragma unroll
  for (int k = 0; k < N; ++k) result[k] = from_float<T>(ending.relu && sums[k] < 0 ? 0.0f : sums[k]);
  place.write(y, result);
  if (!ending.also_rectified) return;
#pragma unroll
  for (int k = 0; k < N; ++k) result[k] = from_float<T>(sums[k] < 0 ? 0.0f : sums[k]);
  place.write(static_cast<T*>(ending.also_rectified), result);
}

}  // namespace poise::POISE_GPU
