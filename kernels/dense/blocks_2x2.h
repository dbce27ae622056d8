// A small image and one of twice its size: the two maps that pooling and nearest-neighbour enlargement share, each
// being the other's gradient. Rows of C contiguous channels; one task per row of the small image.
#pragma once
#include <algorithm>

#include "kernels/core/dispatch.h"
#include "kernels/core/simd.h"
#include "kernels/core/tensor.h"

namespace poise::cpu {

// small[n,p,q,c] = scale * (sum of the 2x2 block of large).  small [N,H,W,C], large [N,2H,2W,C].
inline void sum_blocks_2x2(double scale, const Tensor& large, Tensor& small) {
  dispatch_float(small.dtype, [&]<class T>() {
    const int64_t rows = small.shape[0] * small.shape[1], w = small.shape[2], c = small.shape[3];
    const T* in = large.data<T>();
    T* out = small.data<T>();
    const T factor = static_cast<T>(scale);
    simd_for(rows, [=](int64_t row) {
      const T* upper = in + row * 4 * w * c;  // two rows of twice the width
      for (int64_t q = 0; q < w; ++q) {
        const T* a = upper + 2 * q * c;  // a b
        const T* b = a + c;              // d e
        const T* d = a + 2 * w * c;
        const T* e = d + c;
        T* to = out + (row * w + q) * c;
        prefetch(b + c, 2 * c);  // the next step's
        prefetch(e + c, 2 * c);
#pragma GCC ivdep
        for (int64_t i = 0; i < c; ++i) to[i] = factor * ((a[i] + b[i]) + (d[i] + e[i]));
      }
    });
  });
}

// large[n,2p+a,2q+b,c] = scale * small[n,p,q,c]
inline void spread_blocks_2x2(double scale, const Tensor& small, Tensor& large) {
  dispatch_float(small.dtype, [&]<class T>() {
    const int64_t rows = small.shape[0] * small.shape[1], w = small.shape[2], c = small.shape[3];
    const T* in = small.data<T>();
    T* out = large.data<T>();
    const T factor = static_cast<T>(scale);
    simd_for(rows, [=](int64_t row) {
      T* upper = out + row * 4 * w * c;
      for (int64_t q = 0; q < w; ++q) {
        const T* from = in + (row * w + q) * c;
        T* left = upper + 2 * q * c;
        T* right = left + c;
#pragma GCC ivdep
        for (int64_t i = 0; i < c; ++i) left[i] = right[i] = factor * from[i];
      }
      std::copy_n(upper, 2 * w * c, upper + 2 * w * c);
    });
  });
}

}  // namespace poise::cpu
