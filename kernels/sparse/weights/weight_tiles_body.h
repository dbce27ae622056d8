// See weight_tiles.h. Ordinary inline functions of headers must stay out of this file: it is compiled with more
// instructions than the baseline, and the linker might keep that copy of such a function for machines that lack them.
#include "kernels/sparse/weights/lane_transpose_body.h"
#include "kernels/sparse/weights/lane_vectors.h"

namespace poise::cpu {
namespace {

constexpr int smaller(int a, int b) { return a < b ? a : b; }

// Scalars are broadcast by `- V{}`, which changes no value; `+ V{}` would be compiled to an addition, because it
// changes -0. kOutputs: outputs per entry. kSub: pixels whose sums are in registers together; a tile is processed in
// parts of kSub pixels, the last of which may have fewer.
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

  // Calls f<entries>(first entry, its quads) for row r, with entries for two quads at a time, or one, or the rest.
  template <class F>
  [[gnu::always_inline]] static inline void for_each_quad(const AccumulateJob& job, int64_t r, float* quads,
                                                          const F& f) {
    constexpr int kEntries = kQuad / kOutputs;  // per quad
    int32_t e = job.begin[r];
    const int32_t end = job.begin[r + 1];
    if constexpr (kVector == 16) {  // other instruction sets have too few registers
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

  // Entries of a single output, one part of the tile at a time, with the part's kept pixels in registers.
  template <int kFirst, int kCount, int kEntries>
  [[gnu::always_inline]] static inline void accumulate_part(const AccumulateJob& job, int32_t entry, const Rows& rows,
                                                            const V (&kept)[kCount][kPerPixel], float* quads) {
    int64_t offset[kEntries];
#pragma GCC unroll 8
    for (int e = 0; e < kEntries; ++e) offset[e] = job.offsets[entry + e];
    // With one quad, each weight has two sums, over every other vector: a single sum would wait for itself.
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

  // Entries of several outputs, which share each load of x. Their kept pixels are loaded again: registers hold only a
  // few of them, so the tile would fall into many parts, and lanes would be added up once per part.
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
      quads += quads_of(entries) * kQuad;
    }
  }
};

// Pixels per part, with parts as even as possible, if sums may take this many registers.
template <int kVector>
constexpr int pixels_of_part(WeightTile tile, int outputs, int registers) {
  const int most = registers / outputs / Vectors<kVector>::kPerPixel, pixels = pixels_of(tile);
  const int parts = most > 0 ? (pixels + most - 1) / most : pixels;
  return (pixels + parts - 1) / parts;
}

// Calls f.template operator()<outputs, tile>() with these values. kAll: all tiles, not only those of regions.
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

// kSums: registers for sums of one output. kKept: registers for sums of several, and for kept pixels of a gradient.
template <int kVector, int kSums, int kKept>
constexpr WeightTileKernels kernels_with() {
  return {multiply_weights<kVector, kSums, kKept>, accumulate_weights<kVector, kKept>, bring_images<kVector>,
          return_images<kVector>};
}

}  // namespace
}  // namespace poise::cpu
