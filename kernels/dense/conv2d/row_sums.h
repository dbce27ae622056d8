// Sums of one, two or four rows of channels on the CPU: taps that fold into one, or the pixels of a window.
#pragma once
#include "kernels/core/dispatch.h"
#include "kernels/core/error.h"

namespace poise::cpu {

// Rows [n] to sum up: one, two or four.
template <class From>
struct Rows {
  int count = 0;
  const From* rows[4] = {};
  void add(const From* row) { rows[count++] = row; }
};

// to[i] = factor * (sum of the rows' [i]), rounded once.
template <class To, class From>
void sum_rows(const Rows<From>& all, Computed<To> factor, int64_t n, To* to) {
  const From *a = all.rows[0], *b = all.rows[1], *c = all.rows[2], *d = all.rows[3];
  if (all.count == 1) {
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) to[i] = stored<To>(factor * computed(a[i]));
  } else if (all.count == 2) {
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) to[i] = stored<To>(factor * (computed(a[i]) + computed(b[i])));
  } else {
    require(all.count == 4, "sum_rows takes one, two or four rows");
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) {
      to[i] = stored<To>(factor * (computed(a[i]) + computed(b[i]) + computed(c[i]) + computed(d[i])));
    }
  }
}

}  // namespace poise::cpu
