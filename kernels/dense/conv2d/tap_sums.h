// Sums of taps: what folding enlargement or pooling into a kernel comes down to, on the CPU.
#pragma once
#include "kernels/core/dispatch.h"

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

}  // namespace poise::cpu
