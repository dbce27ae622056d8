// Sums, copies and fills on the CPU.
#include "kernels/dense/pointwise/arithmetic.h"

#include <algorithm>
#include <cstring>

#include "kernels/core/dispatch.h"
#include "kernels/core/parallel.h"
#include "kernels/core/simd.h"

namespace poise::cpu {

void add(Context&, const Tensor& a, const Tensor& b, Tensor& y) {
  dispatch_stored(y.dtype, [&]<class T>() {
    const T* left = a.data<T>();
    const T* right = b.data<T>();
    T* out = y.data<T>();
    simd_chunks(y.elements(), kElementGrain, [=](int64_t begin, int64_t end) {
#pragma GCC ivdep
      for (int64_t i = begin; i < end; ++i) out[i] = stored<T>(computed(left[i]) + computed(right[i]));
    });
  });
}

void copy(Context&, const Tensor& x, Tensor& y) {
  const auto* from = static_cast<const char*>(x.bytes);
  auto* to = static_cast<char*>(y.bytes);
  parallel_chunks(static_cast<int64_t>(x.size_bytes()), kElementGrain * 4, [=](int64_t begin, int64_t end) {
    std::memcpy(to + begin, from + begin, static_cast<size_t>(end - begin));
  });
}

void fill(Context&, double value, Tensor& y) {
  dispatch_stored(y.dtype, [&]<class T>() {
    T* out = y.data<T>();
    parallel_chunks(y.elements(), kElementGrain,
                    [=](int64_t begin, int64_t end) { std::fill(out + begin, out + end, stored<T>(value)); });
  });
}

}  // namespace poise::cpu
