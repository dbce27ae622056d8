// A thread per element that is written. A weight of 128 x 128 channels is 0.6 MB and its fold 1 MB: microseconds, and a
// launch. Not yet measured on a GPU.
#include "kernels/dense/conv2d/pooling_fold.h"

#include "kernels/gpu/elementwise.cuh"

namespace poise::POISE_GPU {
namespace {

template <class T>
__global__ void fold_pooling_kernel(int64_t n, int c_in, const float* weight, T* folded) {
  for_each_element(n, [&](int64_t e) {
    const int64_t position = e / c_in, o = position / (kPooledTaps * kPooledTaps);
    const int i = static_cast<int>(e % c_in);
    const TapRange rows = pooled_taps(static_cast<int>(position / kPooledTaps % kPooledTaps));
    const TapRange columns = pooled_taps(static_cast<int>(position % kPooledTaps));
    float sum = 0;
    for (int r = rows.first; r <= rows.last; ++r) {
      for (int s = columns.first; s <= columns.last; ++s) sum += 0.25f * weight[((o * 3 + r) * 3 + s) * c_in + i];
    }
    folded[e] = from_float<T>(sum);
  });
}

__global__ void unfold_pooling_kernel(int64_t n, int c_in, const float* dfolded, float* dweight) {
  for_each_element(n, [&](int64_t e) {
    const int64_t position = e / c_in, o = position / 9;
    const int r = static_cast<int>(position / 3 % 3), s = static_cast<int>(position % 3);
    const float* corner =
        dfolded + ((o * kPooledTaps + first_pooled_fold(r)) * kPooledTaps + first_pooled_fold(s)) * c_in + e % c_in;
    const float* below = corner + kPooledTaps * c_in;
    dweight[e] = 0.25f * (corner[0] + corner[c_in] + below[0] + below[c_in]);
  });
}

}  // namespace

void fold_pooling(Context& ctx, const Tensor& weight, Tensor& folded) {
  dispatch_stored(folded.dtype, [&]<class T>() {
    const int64_t n = folded.elements();
    launch(ctx, elementwise(n), fold_pooling_kernel<T>, n, static_cast<int>(weight.shape[3]), weight.data<float>(),
           folded.data<T>());
  });
}

void unfold_pooling(Context& ctx, const Tensor& dfolded, Tensor& dweight) {
  const int64_t n = dweight.elements();
  launch(ctx, elementwise(n), unfold_pooling_kernel, n, static_cast<int>(dweight.shape[3]), dfolded.data<float>(),
         dweight.data<float>());
}

}  // namespace poise::POISE_GPU
