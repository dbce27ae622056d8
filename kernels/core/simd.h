// Vector instructions on the CPU without intrinsics: f is compiled for the baseline, for AVX2 and for AVX-512, and the
// best version that the machine supports is run.
//
//   simd_chunks(n, kElementGrain, [=](int64_t begin, int64_t end) { for (...) y[i] = a[i] + b[i]; });
//
// All versions give the same bits, because the compiler may neither contract nor reassociate (no -ffast-math,
// -ffp-contract=off). Sums that are to vectorise must spell out their order, as in dot.h. f is copied, so capture by
// value: captured values then stay in registers. Element-wise loops that may run in place need `#pragma GCC ivdep`.
#pragma once
#include <cstdint>
#include <utility>

#include "kernels/core/parallel.h"

namespace poise {

// Prefetches n elements that a loop will soon read. Worth it where short inner loops read several streams, because the
// hardware prefetcher stops at the end of each inner loop. `from` may point past the end of a tensor.
template <class T>
void prefetch(const T* from, int64_t n) {
  constexpr int64_t kCacheLine = 64 / sizeof(T);
  for (int64_t i = 0; i < n; i += kCacheLine) __builtin_prefetch(from + i);
}

#if defined(__x86_64__) && defined(__GNUC__)

enum class InstructionSet { baseline, avx2, avx512 };

inline InstructionSet instruction_set() {
  // Without bw and vl, loops over bf16 do not vectorise. All current AVX-512 processors have both.
  static const bool avx512 =
      __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  static const InstructionSet best = avx512                           ? InstructionSet::avx512
                                     : __builtin_cpu_supports("avx2") ? InstructionSet::avx2
                                                                      : InstructionSet::baseline;
  return best;
}

// Products of bf16 with sums in f32. Without them, bf16 products cost as much as f32 products plus the conversions.
inline bool has_bf16_products() { return __builtin_cpu_supports("avx512bf16"); }

// A function may be inlined into one compiled for more instructions. `flatten` inlines f and everything that it calls,
// so that its loops are vectorised with the instructions of the enclosing function.
template <class F>
class simd {
 public:
  explicit simd(F f) : f_(std::move(f)) {}

  template <class... Args>
  void operator()(Args... args) const {
    switch (instruction_set()) {
      case InstructionSet::avx512:
        return run_avx512(f_, args...);
      case InstructionSet::avx2:
        return run_avx2(f_, args...);
      case InstructionSet::baseline:
        return run_baseline(f_, args...);
    }
  }

 private:
  template <class... Args>
  [[gnu::target("avx512f,avx512bw,avx512vl"), gnu::flatten, gnu::noinline]] static void run_avx512(F f, Args... args) {
    f(args...);
  }
  template <class... Args>
  [[gnu::target("avx2"), gnu::flatten, gnu::noinline]] static void run_avx2(F f, Args... args) {
    f(args...);
  }
  template <class... Args>
  [[gnu::flatten, gnu::noinline]] static void run_baseline(F f, Args... args) {
    f(args...);
  }

  F f_;
};

#else

inline bool has_bf16_products() { return false; }

template <class F>
F simd(F f) {
  return f;
}

#endif

// parallel_for and parallel_chunks (parallel.h) with f compiled in this way.
template <class F>
void simd_for(int64_t tasks, F f) {
  parallel_for(tasks, simd(std::move(f)));
}
template <class F>
void simd_chunks(int64_t n, int64_t grain, F f) {
  parallel_chunks(n, grain, simd(std::move(f)));
}

}  // namespace poise
