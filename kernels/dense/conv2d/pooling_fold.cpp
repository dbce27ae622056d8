#include "kernels/dense/conv2d/pooling_fold.h"

#include "kernels/core/simd.h"
#include "kernels/dense/conv2d/row_sums.h"

namespace poise::cpu {

void fold_pooling(Context&, const Tensor& weight, Tensor& folded) {
  dispatch_stored(folded.dtype, [&]<class T>() {
    using From = Computed<T>;
    const int64_t c_in = weight.shape[3];
    const From* from = weight.data<From>();
    T* to = folded.data<T>();
    simd_for(weight.shape[0] * kPooledTaps, [=](int64_t row) {
      const int64_t o = row / kPooledTaps;
      const TapRange rows = pooled_taps(static_cast<int>(row % kPooledTaps));
      for (int v = 0; v < kPooledTaps; ++v) {
        const TapRange columns = pooled_taps(v);
        Rows<From> taps;
        for (int r = rows.first; r <= rows.last; ++r) {
          for (int s = columns.first; s <= columns.last; ++s) taps.add(from + ((o * 3 + r) * 3 + s) * c_in);
        }
        sum_rows(taps, From{0.25}, c_in, to + (row * kPooledTaps + v) * c_in);
      }
    });
  });
}

void unfold_pooling(Context&, const Tensor& dfolded, Tensor& dweight) {
  dispatch_float(dweight.dtype, [&]<class T>() {
    const int64_t c_in = dweight.shape[3];
    const T* from = dfolded.data<T>();
    T* to = dweight.data<T>();
    simd_for(dweight.shape[0] * 3, [=](int64_t row) {
      const int64_t o = row / 3, u = first_pooled_fold(static_cast<int>(row % 3));
      for (int s = 0; s < 3; ++s) {
        const T* corner = from + ((o * kPooledTaps + u) * kPooledTaps + first_pooled_fold(s)) * c_in;
        const T* below = corner + kPooledTaps * c_in;
        sum_rows(Rows<T>{4, {corner, corner + c_in, below, below + c_in}}, T{0.25}, c_in, to + (row * 3 + s) * c_in);
      }
    });
  });
}

}  // namespace poise::cpu
