// One warp's part of a product of tiles on tensor cores: bf16 (m16n8k16) or f32 rounded to tf32 (m16n8k8), summed in
// f32. Both instructions take 32 bytes (two chunks) of k, and have the same fragment layout in units of chunks, so
// ldmatrix loads both if k is fastest. If m or n is fastest, bf16 is loaded by the transposing ldmatrix. There is none
// for f32: each lane reads 16 bytes along m or n, four elements of one k, and uses them as the same element of four
// fragments. Fragments then hold the tile's rows in another order, which concerns only row() and column().
#pragma once
#include "kernels/gpu/tile.cuh"

namespace poise::POISE_GPU {

template <class T, Major major_a, Major major_b, class Shape>
class TensorCoreProduct {
  static constexpr int kM = Shape::warp_m / 16, kN = Shape::warp_n / 8;  // fragments of one warp
  static constexpr int kSteps = kChunksDeep / 2;
  static constexpr bool kGatherA = major_a == Major::mn && sizeof(T) == 4;
  static constexpr bool kGatherB = major_b == Major::mn && sizeof(T) == 4;
  static_assert(kM % 2 == 0 && kN % 4 == 0, "fragments are loaded in groups");
  using LayoutA = TileLayout<T, major_a, Shape::m>;
  using LayoutB = TileLayout<T, major_b, Shape::n>;

 public:
  static constexpr bool kNeighbouringColumns = !kGatherB;

  __device__ TensorCoreProduct()
      : first_row_(warp_id() % Shape::warps_m * Shape::warp_m),
        first_column_(warp_id() / Shape::warps_m * Shape::warp_n) {}

  // Adds a b over one tile of k. The fragments of the next step are loaded while this one multiplies.
  __device__ void add(const T* a, const T* b) {
    Fragments fragments[2];
    load(fragments[0], a, b, 0);
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      if (step + 1 < kSteps) load(fragments[(step + 1) % 2], a, b, step + 1);
      const Fragments& f = fragments[step % 2];
#pragma unroll
      for (int i = 0; i < kM; ++i) {
#pragma unroll
        for (int j = 0; j < kN; ++j) {
          if constexpr (sizeof(T) == 2) {
            mma_m16n8k16_bf16(sum_[i][j], f.a[i], f.b[j]);
          } else {
            mma_m16n8k8_tf32(sum_[i][j], f.a[i], f.b[j]);
          }
        }
      }
    }
  }

  // Calls f(row, column, sums) for pairs of sums in columns `column` and `column` + 1 or, without kNeighbouringColumns,
  // f(row, column, sum) for each sum.
  template <class F>
  __device__ void for_each(const F& f) const {
    const int group = lane_id() / 4, pair = lane_id() % 4;
#pragma unroll
    for (int i = 0; i < kM; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int r = row(2 * i + half, group);
#pragma unroll
        for (int j = 0; j < kN; ++j) {
          const float(&s)[4] = sum_[i][j];
          if constexpr (kNeighbouringColumns) {
            f(r, column(j, 2 * pair), Vector<float, 2>{s[2 * half], s[2 * half + 1]});
          } else {
            f(r, column(j, 2 * pair), s[2 * half]);
            f(r, column(j, 2 * pair + 1), s[2 * half + 1]);
          }
        }
      }
    }
  }

 private:
  struct Fragments {
    uint32_t a[kM][4], b[kN][2];
  };

  // The row (column) of the block that row (column) `index` of the slot-th 8x8 matrix belongs to.
  __device__ int row(int slot, int index) const {
    return first_row_ + (kGatherA ? slot / 4 * 32 + 4 * index + slot % 4 : 8 * slot + index);
  }
  __device__ int column(int slot, int index) const {
    return first_column_ + (kGatherB ? slot / 4 * 32 + 4 * index + slot % 4 : 8 * slot + index);
  }

  __device__ void load(Fragments& f, const T* a, const T* b, int step) const {
    const int lane = lane_id(), in_8 = lane % 8, bit3 = lane / 8 % 2, bit4 = lane / 16;
    if constexpr (kGatherA) {
#pragma unroll
      for (int quad = 0; quad < kM / 2; ++quad) {  // fragments 2 quad and 2 quad + 1: 4 slots
#pragma unroll
        for (int high = 0; high < 2; ++high) {
          const auto v = gather<LayoutA>(a, step, high, first_row_ + 32 * quad);
          f.a[2 * quad][2 * high] = to_tf32(v[0]);
          f.a[2 * quad][2 * high + 1] = to_tf32(v[1]);
          f.a[2 * quad + 1][2 * high] = to_tf32(v[2]);
          f.a[2 * quad + 1][2 * high + 1] = to_tf32(v[3]);
        }
      }
    } else {
#pragma unroll
      for (int i = 0; i < kM; ++i) {
        if constexpr (major_a == Major::k) {
          ldmatrix_x4(f.a[i], a + LayoutA::at(first_row_ + 16 * i + 8 * bit3 + in_8, 2 * step + bit4));
        } else {
          ldmatrix_x4_trans(f.a[i], a + LayoutA::at(16 * step + 8 * bit4 + in_8, first_row_ / 8 + 2 * i + bit3));
        }
        round(f.a[i]);
      }
    }
    if constexpr (kGatherB) {
#pragma unroll
      for (int quad = 0; quad < kN / 4; ++quad) {
#pragma unroll
        for (int high = 0; high < 2; ++high) {
          const auto v = gather<LayoutB>(b, step, high, first_column_ + 32 * quad);
#pragma unroll
          for (int slot = 0; slot < 4; ++slot) f.b[4 * quad + slot][high] = to_tf32(v[slot]);
        }
      }
    } else {
#pragma unroll
      for (int j = 0; j < kN; j += 2) {
        uint32_t r[4];  // two fragments
        if constexpr (major_b == Major::k) {
          ldmatrix_x4(r, b + LayoutB::at(first_column_ + 8 * j + 8 * bit4 + in_8, 2 * step + bit3));
        } else {
          ldmatrix_x4_trans(r, b + LayoutB::at(16 * step + 8 * bit3 + in_8, first_column_ / 8 + j + bit4));
        }
        round(r);
        f.b[j][0] = r[0], f.b[j][1] = r[1];
        f.b[j + 1][0] = r[2], f.b[j + 1][1] = r[3];
      }
    }
  }

  // Loads elements first + 4 group .. + 3 of row k = 8 step + 4 high + (the lane's place in its group).
  template <class Layout>
  __device__ Vector<float, 4> gather(const T* tile, int step, int high, int first) const {
    return load_vector<4>(tile + Layout::at(8 * step + 4 * high + lane_id() % 4, first / 4 + lane_id() / 4));
  }

  __device__ void round(uint32_t (&fragment)[4]) const {
    if constexpr (sizeof(T) == 4) {
#pragma unroll
      for (uint32_t& x : fragment) x = to_tf32(__uint_as_float(x));
    }
  }

  const int first_row_, first_column_;
  float sum_[kM][kN][4] = {};
};

}  // namespace poise::POISE_GPU
