// Vectors of lanes in registers: shuffles, transpositions, sums. Always inlined, for the reason in weight_tiles_body.h.
#pragma once
#include "kernels/sparse/weights/weight_tiles.h"

namespace poise::cpu {
namespace {

template <int... I>
struct Numbers {};
template <int N, int... I>
struct CountTo : CountTo<N - 1, N - 1, I...> {};
template <int... I>
struct CountTo<0, I...> {
  using Result = Numbers<I...>;
};

// kVector: floats per register.
template <int kVector>
struct Vectors {
  typedef float V __attribute__((vector_size(kVector * 4), aligned(4), may_alias));
  typedef float Quad __attribute__((vector_size(16), aligned(4), may_alias));
  typedef float Quads __attribute__((vector_size(32), aligned(4), may_alias));  // two of them
  static constexpr int kPerPixel = kImages / kVector;

  [[gnu::always_inline]] static inline V load(const float* from) { return *reinterpret_cast<const V*>(from); }
  [[gnu::always_inline]] static inline void store(float* to, V v) { *reinterpret_cast<V*>(to) = v; }

  // Lane i of the result is lane Pattern::source(i) of a and b, laid end to end.
  template <class Pattern, int... I>
  [[gnu::always_inline]] static inline V shuffled(V a, V b, Numbers<I...>) {
    return __builtin_shufflevector(a, b, Pattern::source(I)...);
  }
  template <class Pattern>
  [[gnu::always_inline]] static inline V shuffle(V a, V b) {
    return shuffled<Pattern>(a, b, typename CountTo<kVector>::Result{});
  }
  // Within each 128 bits: pair 0 gives a0 b0 a1 b1, pair 1 gives a2 b2 a3 b3.
  template <int kPair>
  struct Interleave {
    static constexpr int source(int i) { return i / 4 * 4 + 2 * kPair + i % 4 / 2 + (i % 2) * kVector; }
  };
  // Within each 128 bits: half 0 gives a0 a1 b0 b1, half 1 gives a2 a3 b2 b3.
  template <int kHalf>
  struct Halves {
    static constexpr int source(int i) { return i / 4 * 4 + 2 * kHalf + i % 2 + (i % 4 / 2) * kVector; }
  };
  // One step of a transposition: two registers exchange blocks of kStep lanes.
  template <int kStep, bool kSecond>
  struct Exchange {
    static constexpr int source(int i) {
      const bool upper = i & kStep;
      if (!kSecond) return upper ? kVector + i - kStep : i;
      return upper ? kVector + i : i + kStep;
    }
  };

  template <int kStep>
  [[gnu::always_inline]] static inline void transpose_steps(V* v) {
#pragma GCC unroll 16
    for (int i = 0; i < kVector; ++i) {
      if (i & kStep) continue;
      const V a = v[i], b = v[i + kStep];
      v[i] = shuffle<Exchange<kStep, false>>(a, b);
      v[i + kStep] = shuffle<Exchange<kStep, true>>(a, b);
    }
    if constexpr (2 * kStep < kVector) transpose_steps<2 * kStep>(v);
  }
  [[gnu::always_inline]] static inline void transpose(V* v) { transpose_steps<1>(v); }

  // Adds up halves until four lanes are left.
  template <class W, int... I>
  [[gnu::always_inline]] static inline auto halved(W v, Numbers<I...>) {
    return __builtin_shufflevector(v, v, I...) + __builtin_shufflevector(v, v, (I + static_cast<int>(sizeof...(I)))...);
  }
  template <class W>
  [[gnu::always_inline]] static inline Quad folded(W v) {
    if constexpr (sizeof(W) == sizeof(Quad)) {
      return v;
    } else {
      return folded(halved(v, typename CountTo<sizeof(W) / 8>::Result{}));
    }
  }
  // Lanes 4m+j of the result add up to the sum of s[j].
  [[gnu::always_inline]] static inline V parts_of_four(const V* s) {
    const V ab = shuffle<Interleave<0>>(s[0], s[1]) + shuffle<Interleave<1>>(s[0], s[1]);
    const V cd = shuffle<Interleave<0>>(s[2], s[3]) + shuffle<Interleave<1>>(s[2], s[3]);
    return shuffle<Halves<0>>(ab, cd) + shuffle<Halves<1>>(ab, cd);
  }
  // to[j] += the sum of all lanes of s[j], for one quad, or for two if there are sixteen lanes. W is V.
  template <int kQuads, class W>
  [[gnu::always_inline]] static inline void add_sums(const W* s, float* to) {
    if constexpr (kQuads == 1) {
      *reinterpret_cast<Quad*>(to) = *reinterpret_cast<const Quad*>(to) + folded(parts_of_four(s));
    } else {
      const W a = parts_of_four(s), b = parts_of_four(s + 4);
      const W ab = __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
                   __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
      *reinterpret_cast<Quads*>(to) =
          *reinterpret_cast<const Quads*>(to) + (__builtin_shufflevector(ab, ab, 0, 1, 2, 3, 8, 9, 10, 11) +
                                                 __builtin_shufflevector(ab, ab, 4, 5, 6, 7, 12, 13, 14, 15));
    }
  }
};

}  // namespace
}  // namespace poise::cpu
