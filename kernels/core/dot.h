// Inner products that vectorise although their order of summation depends on the length alone: sixteen interleaved
// partial sums, in double even for f32.
#pragma once
#include <cstdint>

#include "kernels/core/dispatch.h"

namespace poise {

class DotSum {
 public:
  // += sum_i a[i] * b[i]
  template <class A, class B>
  void add(const A* a, const B* b, int64_t n) {
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
      for (int64_t lane = 0; lane < kLanes; ++lane) {
        lanes_[lane] += static_cast<double>(computed(a[i + lane])) * static_cast<double>(computed(b[i + lane]));
      }
    }
    for (; i < n; ++i) tail_ += static_cast<double>(computed(a[i])) * static_cast<double>(computed(b[i]));
  }

  double total() const {
    double sum[kLanes];
    for (int64_t lane = 0; lane < kLanes; ++lane) sum[lane] = lanes_[lane];
    for (int64_t half = kLanes / 2; half > 0; half /= 2) {
      for (int64_t lane = 0; lane < half; ++lane) sum[lane] += sum[lane + half];
    }
    return sum[0] + tail_;
  }

 private:
  static constexpr int64_t kLanes = 16;
  double lanes_[kLanes] = {};
  double tail_ = 0;
};

template <class A, class B>
double dot(const A* a, const B* b, int64_t n) {
  DotSum sum;
  sum.add(a, b, n);
  return sum.total();
}

}  // namespace poise
