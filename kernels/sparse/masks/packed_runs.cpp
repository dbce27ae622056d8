#include "kernels/sparse/masks/packed_runs.h"

#include <algorithm>

#include "kernels/core/dispatch.h"
#include "kernels/core/parallel.h"

namespace poise::cpu {
namespace {

constexpr int64_t kRunsPerTask = 1024;

}  // namespace

void pack_runs(Context&, int64_t run, const Tensor& runs, const Tensor& all, Tensor& packed) {
  dispatch_float(all.dtype, [&]<class T>() {
    const int32_t* list = runs.data<int32_t>();
    const T* from = all.data<T>();
    T* to = packed.data<T>();
    parallel_chunks(runs.elements(), kRunsPerTask, [=](int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) std::copy_n(from + list[k] * run, run, to + k * run);
    });
  });
}

// One pass: for each run, writes the zeros before it and then the run itself.
void unpack_runs(Context&, int64_t run, const Tensor& runs, const Tensor& packed, Tensor& all) {
  dispatch_float(all.dtype, [&]<class T>() {
    const int64_t n = runs.elements();
    const int32_t* list = runs.data<int32_t>();
    const T* from = packed.data<T>();
    T* to = all.data<T>();
    const auto end_of = [=](int64_t k) { return k < 0 ? 0 : (list[k] + int64_t{1}) * run; };
    parallel_chunks(n, kRunsPerTask, [=](int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) {
        T* const at = std::fill_n(to + end_of(k - 1), list[k] * run - end_of(k - 1), T{0});
        std::copy_n(from + k * run, run, at);
      }
    });
    std::fill(to + end_of(n - 1), to + all.elements(), T{0});
  });
}

}  // namespace poise::cpu
