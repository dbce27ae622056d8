// Sums of taps: what folding enlargement or pooling into a 3x3 kernel comes down to, on the CPU.
#pragma once
#include "kernels/core/dispatch.h"
#include "kernels/core/simd.h"
#include "kernels/dense/conv2d/upsample_fold.h"

namespace poise::cpu {

// The rows [n] of taps that one folded tap sums: one, two or four.
template <class From>
struct TapRows {
  int count = 0;
  const From* rows[4] = {};
  void add(const From* row) { rows[count++] = row; }
};

// to[i] = factor * (sum of the rows' [i]), rounded once.
template <class To, class From>
void sum_taps(const TapRows<From>& taps, Computed<To> factor, int64_t n, To* to) {
  const From *a = taps.rows[0], *b = taps.rows[1], *c = taps.rows[2], *d = taps.rows[3];
  if (taps.count == 1) {
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) to[i] = stored<To>(factor * computed(a[i]));
  } else if (taps.count == 2) {
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) to[i] = stored<To>(factor * (computed(a[i]) + computed(b[i])));
  } else {
    require(taps.count == 4, "a folded tap sums one, two or four");
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) {
      to[i] = stored<To>(factor * (computed(a[i]) + computed(b[i]) + computed(c[i]) + computed(d[i])));
    }
  }
}

constexpr int kFoldedTaps = 4;  // per axis

// folded[o,u,v] = factor * the sum of weight[o,r,s] over the taps r of taps_of(u) and s of taps_of(v).
// weight [c_out,3,3,c_in], folded [c_out,4,4,c_in].
template <class To, class From, class TapsOf>
void fold_taps(int64_t c_out, int64_t c_in, Computed<To> factor, TapsOf taps_of, const From* weight, To* folded) {
  simd_for(c_out * kFoldedTaps, [=](int64_t row) {
    const int64_t o = row / kFoldedTaps;
    const TapRange rows = taps_of(static_cast<int>(row % kFoldedTaps));
    for (int v = 0; v < kFoldedTaps; ++v) {
      const TapRange columns = taps_of(v);
      TapRows<From> taps;
      for (int r = rows.first; r <= rows.last; ++r) {
        for (int s = columns.first; s <= columns.last; ++s) taps.add(weight + ((o * 3 + r) * 3 + s) * c_in);
      }
      sum_taps(taps, factor, c_in, folded + (row * kFoldedTaps + v) * c_in);
    }
  });
}

// Its transpose: each tap r collects from the two per axis that it was added to, first_of(r) and the next one.
template <class T, class FirstOf>
void unfold_taps(int64_t c_out, int64_t c_in, T factor, FirstOf first_of, const T* folded, T* weight) {
  simd_for(c_out * 3, [=](int64_t row) {
    const int64_t o = row / 3, u = first_of(static_cast<int>(row % 3));
    for (int s = 0; s < 3; ++s) {
      const T* corner = folded + ((o * kFoldedTaps + u) * kFoldedTaps + first_of(s)) * c_in;
      const T* below = corner + kFoldedTaps * c_in;
      sum_taps(TapRows<T>{4, {corner, corner + c_in, below, below + c_in}}, factor, c_in,
               weight + (row * 3 + s) * c_in);
    }
  });
}

}  // namespace poise::cpu
