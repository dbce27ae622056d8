#include "kernels/dense/conv2d/pooling_fold.h"

#include "kernels/dense/conv2d/tap_sums.h"

namespace poise::cpu {

static_assert(kPooledTaps == kFoldedTaps);

void fold_pooling(Context&, const Tensor& weight, Tensor& folded) {
  dispatch_stored(folded.dtype, [&]<class T>() {
    fold_taps(
        weight.shape[0], weight.shape[3], Computed<T>{0.25}, [](int u) { return pooled_taps(u); },
        weight.data<Computed<T>>(), folded.data<T>());
  });
}

void unfold_pooling(Context&, const Tensor& dfolded, Tensor& dweight) {
  dispatch_float(dweight.dtype, [&]<class T>() {
    unfold_taps(
        dweight.shape[0], dweight.shape[3], T{0.25}, [](int r) { return first_pooled_fold(r); }, dfolded.data<T>(),
        dweight.data<T>());
  });
}

}  // namespace poise::cpu
