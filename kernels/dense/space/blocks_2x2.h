// A small image and one of twice its size: the two maps that pooling and nearest-neighbour upsampling share, each of
// which is the other's gradient. Rows have C contiguous channels; one task per row of the small image. A last row or
// column of the large image beyond twice the small size belongs to no block.
#pragma once
#include <algorithm>

#include "kernels/core/dispatch.h"
#include "kernels/core/simd.h"
#include "kernels/core/tensor.h"

namespace poise::cpu {

// Where the 2x2 blocks of a large image are.
struct Blocks2x2 {
  int64_t h, w, c, row;             // of the small image; elements of a row of the large one
  int64_t columns_left, rows_left;  // 0 or 1: what the blocks leave out
  int64_t large_image;              // elements

  Blocks2x2(const Shape& large, const Shape& small)
      : h(small[1]),
        w(small[2]),
        c(small[3]),
        row(large[2] * c),
        columns_left(large[2] - 2 * w),
        rows_left(large[1] - 2 * h),
        large_image(large[1] * row) {}
  // The first element of the two rows of the large image that form row `r` (of all images) of the small one.
  int64_t rows_of(int64_t r) const { return r / h * large_image + r % h * 2 * row; }
};

// small[n,p,q,c] = scale * (sum of the 2x2 block of large).  small [N,H,W,C], large [N,2H,2W,C].
inline void sum_blocks_2x2(double scale, const Tensor& large, Tensor& small) {
  dispatch_stored(small.dtype, [&]<class T>() {
    const Blocks2x2 blocks(large.shape, small.shape);
    const int64_t rows = small.shape[0] * small.shape[1], w = small.shape[2], c = small.shape[3];
    const T* in = large.data<T>();
    T* out = small.data<T>();
    const auto factor = static_cast<Computed<T>>(scale);
    simd_for(rows, [=](int64_t row) {
      const T* upper = in + blocks.rows_of(row);  // two rows of twice the width
      for (int64_t q = 0; q < w; ++q) {
        const T* a = upper + 2 * q * c;  // a b
        const T* b = a + c;              // d e
        const T* d = a + blocks.row;
        const T* e = d + c;
        T* to = out + (row * w + q) * c;
        prefetch(b + c, 2 * c);  // the next step's
        prefetch(e + c, 2 * c);
#pragma GCC ivdep
        for (int64_t i = 0; i < c; ++i) {
          to[i] = stored<T>(factor * ((computed(a[i]) + computed(b[i])) + (computed(d[i]) + computed(e[i]))));
        }
      }
    });
  });
}

// large[n,2p+a,2q+b,c] = scale * small[n,p,q,c], and 0 beyond the blocks.
inline void spread_blocks_2x2(double scale, const Tensor& small, Tensor& large) {
  dispatch_stored(small.dtype, [&]<class T>() {
    const Blocks2x2 blocks(large.shape, small.shape);
    const int64_t rows = small.shape[0] * small.shape[1], w = small.shape[2], c = small.shape[3];
    const T* in = small.data<T>();
    T* out = large.data<T>();
    const auto factor = static_cast<Computed<T>>(scale);
    simd_for(rows, [=](int64_t row) {
      T* upper = out + blocks.rows_of(row);
      for (int64_t q = 0; q < w; ++q) {
        const T* from = in + (row * w + q) * c;
        T* left = upper + 2 * q * c;
        T* right = left + c;
#pragma GCC ivdep
        for (int64_t i = 0; i < c; ++i) left[i] = right[i] = stored<T>(factor * computed(from[i]));
      }
      std::fill_n(upper + 2 * w * c, blocks.columns_left * c, T{});
      std::copy_n(upper, blocks.row, upper + blocks.row);
      if (row % blocks.h == blocks.h - 1) std::fill_n(upper + 2 * blocks.row, blocks.rows_left * blocks.row, T{});
    });
  });
}

}  // namespace poise::cpu
