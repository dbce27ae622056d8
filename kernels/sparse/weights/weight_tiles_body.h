// See weight_tiles.h. Includes nothing with code in it: what this file's includers compile with more instructions than
// the baseline may not reach a machine without them through an inline function.
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

// kVector: floats of a register.
template <int kVector>
struct Vectors {
  typedef float V __attribute__((vector_size(kVector * 4), aligned(4), may_alias));
  typedef float Quad __attribute__((vector_size(16), aligned(4), may_alias));
  typedef float Quads __attribute__((vector_size(32), aligned(4), may_alias));  // two
  static constexpr int kPerPixel = kImages / kVector;

  [[gnu::always_inline]] static inline V load(const float* from) { return *reinterpret_cast<const V*>(from); }
  [[gnu::always_inline]] static inline void store(float* to, V v) { *reinterpret_cast<V*>(to) = v; }

  // Lane i of the result is lane kSource(i) of (a, b) laid end to end.
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
  // Of a transposition: blocks of kStep lanes change places between two registers.
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

  // Halves added up until four lanes are left.
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
  // Lanes 4m+j are parts of the sum of s[j].
  [[gnu::always_inline]] static inline V parts_of_four(const V* s) {
    const V ab = shuffle<Interleave<0>>(s[0], s[1]) + shuffle<Interleave<1>>(s[0], s[1]);
    const V cd = shuffle<Interleave<0>>(s[2], s[3]) + shuffle<Interleave<1>>(s[2], s[3]);
    return shuffle<Halves<0>>(ab, cd) + shuffle<Halves<1>>(ab, cd);
  }
  // to[j] += all lanes of s[j], of one quad, or of two if there are sixteen lanes. W: V.
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

constexpr int smaller(int a, int b) { return a < b ? a : b; }

// Scalars become vectors by `- V{}`, which changes none; `+ V{}` is an addition to a compiler, for the sake of -0.
// kOutputs: of an entry. kSub: pixels whose sums share the registers; a tile is walked in parts of so many, the last of
// which may have fewer.
template <int kVector, int kOutputs, int kSub, WeightTile kTile>
struct Loops : Vectors<kVector> {
  using Base = Vectors<kVector>;
  using V = typename Base::V;
  using Base::kPerPixel, Base::load, Base::store;
  static constexpr int kColumns = columns_of(kTile), kPixels = pixels_of(kTile);
  static constexpr int64_t kPlane = plane_floats(kTile);

  // Where each row of a tile begins.
  struct Rows {
    const float* row[kMostTileRows];
    [[gnu::always_inline]] Rows(const float* first, int64_t stride) {
#pragma GCC unroll 5
      for (int r = 0; r < kMostTileRows; ++r) row[r] = first + r * stride;
    }
    [[gnu::always_inline]] const float* pixel(int k) const { return row[k / kColumns] + k % kColumns * kImages; }
  };

  template <int kFirst>
  [[gnu::always_inline]] static inline void multiply_part(const MultiplyJob& job, int64_t r, const Rows& rows) {
    constexpr int kCount = smaller(kSub, kPixels - kFirst);
    V sum[kOutputs][kCount][kPerPixel];
    float* sums = job.sums + r * kOutputs * kPlane + kFirst * kImages;
#pragma GCC unroll 16
    for (int b = 0; b < kOutputs; ++b) {
      const V start = (job.first && job.start ? job.start[r * kOutputs + b] : 0.0f) - V{};
#pragma GCC unroll 32
      for (int k = 0; k < kCount; ++k) {
#pragma GCC unroll 4
        for (int v = 0; v < kPerPixel; ++v) {
          sum[b][k][v] = job.first ? start : load(sums + b * kPlane + k * kImages + v * kVector);
        }
      }
    }
    const int32_t end = job.begin[r + 1];
    for (int32_t e = job.begin[r]; e < end; ++e) {
      const int64_t offset = job.offsets[e];
      V w[kOutputs];
#pragma GCC unroll 4
      for (int b = 0; b < kOutputs; ++b) w[b] = job.values[static_cast<int64_t>(e) * kOutputs + b] - V{};
#pragma GCC unroll 32
      for (int k = 0; k < kCount; ++k) {
#pragma GCC unroll 4
        for (int v = 0; v < kPerPixel; ++v) {
          const V x = load(rows.pixel(kFirst + k) + offset + v * kVector);
#pragma GCC unroll 4
          for (int b = 0; b < kOutputs; ++b) sum[b][k][v] += w[b] * x;
        }
      }
    }
#pragma GCC unroll 16
    for (int b = 0; b < kOutputs; ++b) {
#pragma GCC unroll 32
      for (int k = 0; k < kCount; ++k) {
#pragma GCC unroll 4
        for (int v = 0; v < kPerPixel; ++v) {
          store(sums + b * kPlane + k * kImages + v * kVector, sum[b][k][v]);
        }
      }
    }
    if constexpr (kFirst + kSub < kPixels) multiply_part<kFirst + kSub>(job, r, rows);
  }

  static void multiply(const MultiplyJob& given) {
    const MultiplyJob job = given;
    const Rows rows(job.x, job.x_row);
    for (int64_t r = 0; r < job.rows; ++r) {
      if (job.first || job.begin[r] != job.begin[r + 1]) multiply_part<0>(job, r, rows);
    }
  }

  // Row r's entries, as many at a time as make two quads, or one, or less: f<entries>(first, its quads).
  template <class F>
  [[gnu::always_inline]] static inline void for_each_quad(const AccumulateJob& job, int64_t r, float* quads,
                                                          const F& f) {
    constexpr int kEntries = kQuad / kOutputs;  // of a quad
    int32_t e = job.begin[r];
    const int32_t end = job.begin[r + 1];
    if constexpr (kVector == 16) {  // others have too few registers
      for (; e + 2 * kEntries <= end; e += 2 * kEntries, quads += 2 * kQuad) {
        f.template operator()<2 * kEntries>(e, quads);
      }
    }
    for (; e + kEntries <= end; e += kEntries, quads += kQuad) f.template operator()<kEntries>(e, quads);
    if constexpr (kEntries > 1) {
      if (end - e == 1) f.template operator()<1>(e, quads);
    }
    if constexpr (kEntries > 2) {
      if (end - e == 2) f.template operator()<2>(e, quads);
      if (end - e == 3) f.template operator()<3>(e, quads);
    }
  }
  static constexpr int quads_of(int entries) { return (entries * kOutputs + kQuad - 1) / kQuad; }

  // Entries of a single output, part by part of the tile: its kept pixels are in registers.
  template <int kFirst, int kCount, int kEntries>
  [[gnu::always_inline]] static inline void accumulate_part(const AccumulateJob& job, int32_t entry, const Rows& rows,
                                                            const V (&kept)[kCount][kPerPixel], float* quads) {
    int64_t offset[kEntries];
#pragma GCC unroll 8
    for (int e = 0; e < kEntries; ++e) offset[e] = job.offsets[entry + e];
    // Of one quad two sums of each weight, of every other vector: one would wait for itself.
    constexpr int kQuads = quads_of(kEntries), kSums = kQuads == 1 ? 2 : 1;
    V sums[kSums][kQuads * kQuad] = {};
#pragma GCC unroll 16
    for (int k = 0; k < kCount; ++k) {
#pragma GCC unroll 4
      for (int v = 0; v < kPerPixel; ++v) {
#pragma GCC unroll 8
        for (int e = 0; e < kEntries; ++e) {
          sums[(k * kPerPixel + v) % kSums][e] += kept[k][v] * load(rows.pixel(kFirst + k) + offset[e] + v * kVector);
        }
      }
    }
    if constexpr (kSums > 1) {
#pragma GCC unroll 4
      for (int i = 0; i < kQuad; ++i) sums[0][i] += sums[1][i];
    }
    Base::template add_sums<kQuads>(sums[0], quads);
  }
  template <int kFirst>
  [[gnu::always_inline]] static inline void accumulate_parts(const AccumulateJob& job, int64_t r, const Rows& rows,
                                                             float* quads) {
    constexpr int kCount = smaller(kSub, kPixels - kFirst);
    V kept[kCount][kPerPixel];
    const Rows kept_rows(job.kept + r * job.kept_plane, job.kept_row);
#pragma GCC unroll 16
    for (int k = 0; k < kCount; ++k) {
#pragma GCC unroll 4
      for (int v = 0; v < kPerPixel; ++v) {
        const float* pixel = kept_rows.pixel(kFirst + k) + v * kVector;
        kept[k][v] = load(pixel);
        __builtin_prefetch(pixel + job.kept_plane);
      }
    }
    for_each_quad(
        job, r, quads, [&]<int kEntries>(int32_t entry, float* to) __attribute__((always_inline)) {
          accumulate_part<kFirst, kCount, kEntries>(job, entry, rows, kept, to);
        });
    if constexpr (kFirst + kSub < kPixels) accumulate_parts<kFirst + kSub>(job, r, rows, quads);
  }

  // Entries of several outputs, which share each load of x: their kept pixels are loaded again, for registers hold those
  // of a few pixels only, and lanes would be added up as often as the tile has such parts.
  template <int kEntries>
  [[gnu::always_inline]] static inline void accumulate_shared(const AccumulateJob& job, int64_t r, int32_t entry,
                                                              float* quads) {
    const float *x[kEntries], *kept[kOutputs];
#pragma GCC unroll 4
    for (int e = 0; e < kEntries; ++e) x[e] = job.x + job.offsets[entry + e];
#pragma GCC unroll 4
    for (int b = 0; b < kOutputs; ++b) kept[b] = job.kept + (r * kOutputs + b) * job.kept_plane;
    constexpr int kQuads = quads_of(kEntries);
    V sums[kQuads * kQuad] = {};
    for (int row = 0; row < rows_of(kTile); ++row) {
#pragma GCC unroll 8
      for (int column = 0; column < kColumns; ++column) {
#pragma GCC unroll 4
        for (int v = 0; v < kPerPixel; ++v) {
          const int at = column * kImages + v * kVector;
          V of_kept[kOutputs];
#pragma GCC unroll 4
          for (int b = 0; b < kOutputs; ++b) of_kept[b] = load(kept[b] + at);
#pragma GCC unroll 4
          for (int e = 0; e < kEntries; ++e) {
            const V of_x = load(x[e] + at);
#pragma GCC unroll 4
            for (int b = 0; b < kOutputs; ++b) sums[e * kOutputs + b] += of_kept[b] * of_x;
          }
        }
      }
#pragma GCC unroll 4
      for (int e = 0; e < kEntries; ++e) x[e] += job.x_row;
#pragma GCC unroll 4
      for (int b = 0; b < kOutputs; ++b) kept[b] += job.kept_row;
    }
    Base::template add_sums<kQuads>(sums, quads);
  }

  static void accumulate(const AccumulateJob& given) {
    constexpr int kEntries = kQuad / kOutputs;
    const AccumulateJob job = given;
    const Rows rows(job.x, job.x_row);
    float* quads = job.sums;
    for (int64_t r = 0; r < job.rows; ++r) {
      const int32_t entries = job.begin[r + 1] - job.begin[r];
      if (entries == 0) continue;
      if constexpr (kOutputs == 1) {
        accumulate_parts<0>(job, r, rows, quads);
      } else {
        for_each_quad(
            job, r, quads, [&]<int kTogether>(int32_t entry, float* to) __attribute__((always_inline)) {
              accumulate_shared<kTogether>(job, r, entry, to);
            });
      }
      quads += (entries + kEntries - 1) / kEntries * kQuad;
    }
  }
};

// Pixels to a part, in parts that are as even as can be, if sums may take so many registers.
template <int kVector>
constexpr int pixels_of_part(WeightTile tile, int outputs, int registers) {
  const int most = registers / outputs / Vectors<kVector>::kPerPixel, pixels = pixels_of(tile);
  const int parts = most > 0 ? (pixels + most - 1) / most : pixels;
  return (pixels + parts - 1) / parts;
}

// f.template operator()<outputs, tile>() for the numbers at hand. kAll: of all tiles, or those that regions are cut into.
template <bool kAll, class F>
void dispatch(WeightTile tile, int outputs, const F& f) {
  const auto with_outputs = [&]<int kOutputs>() {
    switch (tile) {
      case WeightTile::rows_4x4:
        return f.template operator()<kOutputs, WeightTile::rows_4x4>();
      case WeightTile::rows_2x4:
        return f.template operator()<kOutputs, WeightTile::rows_2x4>();
      case WeightTile::row_8:
        return f.template operator()<kOutputs, WeightTile::row_8>();
      case WeightTile::rows_2x2:
        return f.template operator()<kOutputs, WeightTile::rows_2x2>();
      case WeightTile::row_4:
        return f.template operator()<kOutputs, WeightTile::row_4>();
      case WeightTile::row_2:
        return f.template operator()<kOutputs, WeightTile::row_2>();
      case WeightTile::pixel:
        return f.template operator()<kOutputs, WeightTile::pixel>();
      default:
        break;
    }
    if constexpr (kAll) {
      switch (tile) {
        case WeightTile::rows_5x5:
          return f.template operator()<kOutputs, WeightTile::rows_5x5>();
        case WeightTile::rows_5x4:
          return f.template operator()<kOutputs, WeightTile::rows_5x4>();
        case WeightTile::rows_4x5:
          return f.template operator()<kOutputs, WeightTile::rows_4x5>();
        case WeightTile::rows_3x5:
          return f.template operator()<kOutputs, WeightTile::rows_3x5>();
        case WeightTile::rows_3x4:
          return f.template operator()<kOutputs, WeightTile::rows_3x4>();
        case WeightTile::rows_2x5:
          return f.template operator()<kOutputs, WeightTile::rows_2x5>();
        case WeightTile::rows_3x3:
          return f.template operator()<kOutputs, WeightTile::rows_3x3>();
        case WeightTile::rows_3x2:
          return f.template operator()<kOutputs, WeightTile::rows_3x2>();
        case WeightTile::rows_2x3:
          return f.template operator()<kOutputs, WeightTile::rows_2x3>();
        case WeightTile::rows_2x1:
          return f.template operator()<kOutputs, WeightTile::rows_2x1>();
        default:
          break;
      }
    }
  };
  if (outputs == 1) return with_outputs.template operator()<1>();
  if (outputs == 2) return with_outputs.template operator()<2>();
  with_outputs.template operator()<4>();
}

template <int kVector, int kSums, int kKept>
void multiply_weights(WeightTile tile, int outputs, const MultiplyJob& job) {
  dispatch<true>(tile, outputs, [&]<int kOutputs, WeightTile kTile>() {
    constexpr int kRegisters = kOutputs == 1 ? kSums : kKept;
    Loops<kVector, kOutputs, pixels_of_part<kVector>(kTile, kOutputs, kRegisters), kTile>::multiply(job);
  });
}

template <int kVector, int kKept>
void accumulate_weights(WeightTile tile, int outputs, const AccumulateJob& job) {
  dispatch<false>(tile, outputs, [&]<int kOutputs, WeightTile kTile>() {
    Loops<kVector, kOutputs, pixels_of_part<kVector>(kTile, kOutputs, kKept), kTile>::accumulate(job);
  });
}

// Mostly all lanes are present, and asking for each of them would take longer than the rest.
template <bool kAll>
[[gnu::always_inline]] static inline bool has_lane(uint32_t present, int64_t lane) {
  return kAll || (present >> lane & 1);
}

enum class Bring : uint8_t { plain, scaled, normalised };

template <class Number>
[[gnu::always_inline]] static inline Number at_least(Number value, Number floor) {
  return value < floor ? floor : value;  // this way round a NaN stays one
}

template <int kVector, int kCount, Bring kBring, bool kAll>
[[gnu::always_inline]] static inline void bring_pixel(const BringJob& job, const float* tensor, float* planes) {
  using R = Vectors<kVector>;
  static_assert(kBring != Bring::normalised || kCount == 1);
  typename R::V v[kVector], scale, mean, beta;
  const auto floor = job.norm.floor - typename R::V{};
  int64_t c = 0;
  for (; c + kVector <= job.channels; c += kVector) {
    if constexpr (kBring == Bring::normalised) {
      scale = R::load(job.norm.gamma + c) * R::load(job.norm.inv_std + c);
      mean = R::load(job.norm.mean + c), beta = R::load(job.norm.beta + c);
    }
    for (int first = 0; first < kImages; first += kVector) {
#pragma GCC unroll 16
      for (int n = 0; n < kVector; ++n) {
        const float* lane = tensor + job.lanes[first + n] + c;
        v[n] = has_lane<kAll>(job.present[0], first + n) ? R::load(lane + job.at[0]) : typename R::V{};
#pragma GCC unroll 4
        for (int k = 1; k < kCount; ++k) {
          if (has_lane<kAll>(job.present[k], first + n)) v[n] += R::load(lane + job.at[k]);
        }
        // Sixteen streams, often a power of two apart, are more than the hardware's own prefetching follows.
        __builtin_prefetch(lane + job.at[kCount - 1] + job.step);
        if constexpr (kBring == Bring::scaled) v[n] *= job.share;
        if constexpr (kBring == Bring::normalised) {
          if (has_lane<kAll>(job.present[0], first + n)) v[n] = at_least(normalised(v[n], mean, scale, beta), floor);
        }
      }
      R::transpose(v);
#pragma GCC unroll 16
      for (int i = 0; i < kVector; ++i) R::store(planes + (c + i) * job.plane + first, v[i]);
    }
  }
  for (; c < job.channels; ++c) {
    for (int64_t n = 0; n < kImages; ++n) {
      float sum = 0;
      const float* lane = tensor + job.lanes[n] + c;
      for (int k = 0; k < kCount; ++k) sum += has_lane<kAll>(job.present[k], n) ? lane[job.at[k]] : 0.0f;
      if constexpr (kBring == Bring::normalised) {
        const ChannelNorm& of = job.norm;
        const bool present = has_lane<kAll>(job.present[0], n);
        const float value = normalised(sum, of.mean[c], of.gamma[c] * of.inv_std[c], of.beta[c]);
        planes[c * job.plane + n] = present ? at_least(value, of.floor) : 0.0f;
      } else {
        planes[c * job.plane + n] = job.share * sum;
      }
    }
  }
}

template <int kVector, int kCount, Bring kBring, bool kAll>
void bring_sums(const BringJob& job, const float* tensor, float* planes) {
  for (int64_t i = 0; i < job.pixels; ++i) {
    bring_pixel<kVector, kCount, kBring, kAll>(job, tensor + i * job.step, planes + i * kImages);
  }
}

template <int kVector>
void bring_images(const BringJob& job, const float* tensor, float* planes) {
  uint32_t present = kAllLanes;
  for (int k = 0; k < job.count; ++k) present &= job.present[k];
  const auto bring = [&]<bool kAll>() {
    if (job.norm) return bring_sums<kVector, 1, Bring::normalised, kAll>(job, tensor, planes);
    if (job.count == 1 && job.share == 1) return bring_sums<kVector, 1, Bring::plain, kAll>(job, tensor, planes);
    if (job.count == 1) return bring_sums<kVector, 1, Bring::scaled, kAll>(job, tensor, planes);
    if (job.count == 2) return bring_sums<kVector, 2, Bring::scaled, kAll>(job, tensor, planes);
    bring_sums<kVector, 4, Bring::scaled, kAll>(job, tensor, planes);
  };
  if (present == kAllLanes) return bring.template operator()<true>();
  bring.template operator()<false>();
}

// In pairs, so that rounding does not add up.
template <int kCount, class V>
[[gnu::always_inline]] static inline V sum_of(const V* v) {
  if constexpr (kCount == 1) {
    return v[0];
  } else {
    return sum_of<kCount / 2>(v) + sum_of<kCount / 2>(v + kCount / 2);
  }
}

// Lanes first..first+kVector-1 of channels c..c+kVector-1. `begins`: nothing has been added to those yet, nor is it if none of
// these lanes is present.
template <int kVector, bool kAll>
[[gnu::always_inline]] static inline void add_to_moments(const ReturnJob& job, int64_t c, int first,
                                                         const typename Vectors<kVector>::V* v, bool& begins) {
  using R = Vectors<kVector>;
  const MomentSums& sums = *job.moments;
  typename R::V centre = {}, deviation = {}, square = {};
  typename R::V d[kVector];
  if (begins) {
    const uint32_t lanes = job.present >> first & ((1u << kVector) - 1);
    if (lanes == 0) return;
#pragma GCC unroll 16
    for (int n = 0; n < kVector; ++n) d[n] = has_lane<kAll>(lanes, n) ? v[n] : typename R::V{};
    centre = sum_of<kVector>(d) * (1.0f / static_cast<float>(__builtin_popcount(lanes)));
    R::store(sums.centre + c, centre);
    begins = false;
  } else {
    centre = R::load(sums.centre + c);
    deviation = R::load(sums.deviation + c), square = R::load(sums.square + c);
  }
#pragma GCC unroll 16
  for (int n = 0; n < kVector; ++n) d[n] = has_lane<kAll>(job.present, first + n) ? v[n] - centre : typename R::V{};
  deviation += sum_of<kVector>(d);
#pragma GCC unroll 16
  for (int n = 0; n < kVector; ++n) d[n] *= d[n];
  square += sum_of<kVector>(d);
  R::store(sums.deviation + c, deviation);
  R::store(sums.square + c, square);
}
[[gnu::always_inline]] static inline void add_to_moments(const ReturnJob& job, int64_t c, float value, bool& begins) {
  const MomentSums& sums = *job.moments;
  if (begins) sums.centre[c] = value, sums.deviation[c] = sums.square[c] = 0;
  begins = false;
  const float d = value - sums.centre[c];
  sums.deviation[c] += d;
  sums.square[c] += d * d;
}

// x: of lane 0 and channel 0.
template <int kVector, bool kAll>
[[gnu::always_inline]] static inline void add_to_gradients(const ReturnJob& job, int64_t c, int first, const float* x,
                                                           const typename Vectors<kVector>::V* v) {
  using R = Vectors<kVector>;
  using V = typename R::V;
  const ChannelNorm& norm = job.norm;
  const V scale = R::load(norm.gamma + c) * R::load(norm.inv_std + c), mean = R::load(norm.mean + c);
  const V beta = R::load(norm.beta + c), floor = norm.floor - V{};
  V gradients[kVector / 4], products[kVector / 4];
#pragma GCC unroll 4
  for (int n = 0; n < kVector; n += 4) {
    V gradient[4] = {}, product[4] = {};
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      if (!has_lane<kAll>(job.present, first + n + i)) continue;
      const float* from = x + job.lanes[first + n + i] + c;
      const V value = R::load(from);
      __builtin_prefetch(from + job.step);  // as where pixels are brought in
      gradient[i] = normalised(value, mean, scale, beta) <= floor ? V{} : v[n + i];
      product[i] = gradient[i] * (value - mean);
    }
    gradients[n / 4] = sum_of<4>(gradient), products[n / 4] = sum_of<4>(product);
  }
  R::store(job.gradients->gradient + c, R::load(job.gradients->gradient + c) + sum_of<kVector / 4>(gradients));
  R::store(job.gradients->product + c, R::load(job.gradients->product + c) + sum_of<kVector / 4>(products));
}
[[gnu::always_inline]] static inline void add_to_gradients(const ReturnJob& job, int64_t c, float x, float dx) {
  const ChannelNorm& norm = job.norm;
  if (normalised(x, norm.mean[c], norm.gamma[c] * norm.inv_std[c], norm.beta[c]) <= norm.floor) return;
  job.gradients->gradient[c] += dx;
  job.gradients->product[c] += dx * (x - norm.mean[c]);
}

template <int kVector, int kCount, Finish kFinish, bool kAll>
[[gnu::always_inline]] static inline void return_pixel(const ReturnJob& job, int64_t pixel, float* tensor) {
  const float* from[kCount];
#pragma GCC unroll 4
  for (int k = 0; k < kCount; ++k) from[k] = job.from[k] + pixel * kImages;
  tensor += job.at + pixel * job.step;
  const float* const x = job.gradients ? job.x + job.at + pixel * job.step : nullptr;
  using R = Vectors<kVector>;
  typename R::V v[kVector];
  const bool is_first = job.moments && job.moments->rows == 0;
  int64_t c = 0;
  for (; c + kVector <= job.channels; c += kVector) {
    bool begins = is_first;
    for (int first = 0; first < kImages; first += kVector) {
#pragma GCC unroll 16
      for (int i = 0; i < kVector; ++i) {
        v[i] = R::load(from[0] + (c + i) * job.plane[0] + first);
#pragma GCC unroll 4
        for (int k = 1; k < kCount; ++k) v[i] += R::load(from[k] + (c + i) * job.plane[k] + first);
        v[i] *= job.share;
      }
      R::transpose(v);
#pragma GCC unroll 16
      for (int n = 0; n < kVector; ++n) {
        if (!has_lane<kAll>(job.present, first + n)) continue;
        float* to = tensor + job.lanes[first + n] + c;
        v[n] = finished<kFinish>(v[n], R::load(to));
        R::store(to, v[n]);
      }
      if (job.moments) add_to_moments<kVector, kAll>(job, c, first, v, begins);
      if (job.gradients) add_to_gradients<kVector, kAll>(job, c, first, x, v);
    }
  }
  for (; c < job.channels; ++c) {
    bool begins = is_first;
    for (int64_t n = 0; n < kImages; ++n) {
      if (!has_lane<kAll>(job.present, n)) continue;
      float sum = from[0][c * job.plane[0] + n];
      for (int k = 1; k < kCount; ++k) sum += from[k][c * job.plane[k] + n];
      float& to = tensor[job.lanes[n] + c];
      to = finished<kFinish>(job.share * sum, to);
      if (job.moments) add_to_moments(job, c, to, begins);
      if (job.gradients) add_to_gradients(job, c, x[job.lanes[n] + c], to);
    }
  }
  if (job.moments) job.moments->rows += __builtin_popcount(job.present);
}

template <int kVector, int kCount, Finish kFinish, bool kAll>
void return_sums(const ReturnJob& job, float* tensor) {
  for (int64_t i = 0; i < job.pixels; ++i) return_pixel<kVector, kCount, kFinish, kAll>(job, i, tensor);
}

template <int kVector>
void return_images(const ReturnJob& job, float* tensor) {
  dispatch_finish(job.finish, [&]<Finish kFinish>() {
    const auto give_back = [&]<bool kAll>() {
      if (job.count == 1) return return_sums<kVector, 1, kFinish, kAll>(job, tensor);
      return_sums<kVector, 4, kFinish, kAll>(job, tensor);
    };
    if (job.present == kAllLanes) return give_back.template operator()<true>();
    give_back.template operator()<false>();
  });
}

// kSums: registers that sums of one output may take; kKept: those of several, and pixels of a gradient that are kept.
template <int kVector, int kSums, int kKept>
constexpr WeightTileKernels kernels_with() {
  return {multiply_weights<kVector, kSums, kKept>, accumulate_weights<kVector, kKept>, bring_images<kVector>,
          return_images<kVector>};
}

}  // namespace
}  // namespace poise::cpu
