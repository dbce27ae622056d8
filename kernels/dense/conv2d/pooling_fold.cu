// A thread per four elements that are written. A weight of 128 x 128 channels is 0.6 MB and its fold 1 MB: microseconds,
// and a launch. Not yet measured on a GPU.
#include "kernels/dense/conv2d/pooling_fold.h"

#include "kernels/gpu/elementwise.cuh"

namespace poise::POISE_GPU {
namespace {

template <class T, int N>
__global__ void fold_pooling_kernel(int64_t n, int c_in, const float* weight, T* folded) {
  const int vectors = c_in / N;
  for_each_element(n / N, [&](int64_t e) {
    const int position = static_cast<int>(e / vectors), i = static_cast<int>(e % vectors) * N;
    const int o = position / (kPooledTaps * kPooledTaps);
    const TapRange rows = pooled_taps(position / kPooledTaps % kPooledTaps);
    const TapRange columns = pooled_taps(position % kPooledTaps);
    Vector<float, N> sum{};
    for (int r = rows.first; r <= rows.last; ++r) {
      for (int s = columns.first; s <= columns.last; ++s) {
        const auto w = load_vector<N>(weight + ((int64_t{o} * 3 + r) * 3 + s) * c_in + i);
#pragma unroll
        for (int k = 0; k < N; ++k) sum[k] += 0.25f * w[k];
      }
    }
    store_floats(folded + e * N, sum);
  });
}

template <int N>
__global__ void unfold_pooling_kernel(int64_t n, int c_in, const float* dfolded, float* dweight) {
  const int vectors = c_in / N;
  for_each_element(n / N, [&](int64_t e) {
    const int position = static_cast<int>(e / vectors), i = static_cast<int>(e % vectors) * N;
    const int o = position / 9, r = position / 3 % 3, s = position % 3;
    const int64_t row = int64_t{o} * kPooledTaps + first_pooled_fold(r);
    const float* const corner = dfolded + (row * kPooledTaps + first_pooled_fold(s)) * c_in + i;
    const float* const below = corner + kPooledTaps * c_in;
    const auto a = load_vector<N>(corner), b = load_vector<N>(corner + c_in);
    const auto c = load_vector<N>(below), d = load_vector<N>(below + c_in);
    Vector<float, N> sum;
#pragma unroll
    for (int k = 0; k < N; ++k) sum[k] = 0.25f * (a[k] + b[k] + c[k] + d[k]);
    store_vector(dweight + e * N, sum);
  });
}

}  // namespace

void fold_pooling(Context& ctx, const Tensor& weight, Tensor& folded) {
  dispatch_stored(folded.dtype, [&]<class T>() {
    const int64_t n = folded.elements();
    dispatch_width<float>(weight.shape[3], {&weight, &folded}, [&]<int N>() {
      launch(ctx, elementwise(n / N), fold_pooling_kernel<T, N>, n, static_cast<int>(weight.shape[3]),
             weight.data<float>(), folded.data<T>());
    });
  });
}

void unfold_pooling(Context& ctx, const Tensor& dfolded, Tensor& dweight) {
  const int64_t n = dweight.elements();
  dispatch_width<float>(dweight.shape[3], {&dfolded, &dweight}, [&]<int N>() {
    launch(ctx, elementwise(n / N), unfold_pooling_kernel<N>, n, static_cast<int>(dweight.shape[3]),
           dfolded.data<float>(), dweight.data<float>());
  });
}

}  // namespace poise::POISE_GPU
