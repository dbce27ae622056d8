// One warp's part of a product of tiles in f32 on CUDA cores, for --precision fp32. The lanes form a grid of 4 by 8.
// Each has warp_m / 4 rows and warp_n / 8 columns of the warp's part (Shape), and reads 16 bytes of an operand at a
// time: four summands of one row if k is fastest, otherwise four rows of one summand.
#pragma once
#include "kernels/gpu/tile.cuh"

namespace poise::POISE_GPU {

template <Major major_a, Major major_b, class Shape>
class SimtProduct {
  static constexpr int kLanesM = 4, kLanesN = 8;
  static constexpr int kM = Shape::warp_m / kLanesM, kN = Shape::warp_n / kLanesN;
  static constexpr int kGroup = 4;  // summands per load
  using LayoutA = TileLayout<float, major_a, Shape::m>;
  using LayoutB = TileLayout<float, major_b, Shape::n>;

 public:
  static constexpr bool kNeighbouringColumns = false;

  __device__ SimtProduct()
      : first_row_(warp_id() % Shape::warps_m * Shape::warp_m),
        first_column_(warp_id() / Shape::warps_m * Shape::warp_n) {}

  __device__ void add(const float* a, const float* b) {
#pragma unroll 1
    for (int k = 0; k < kTileK<float>; k += kGroup) {
      float left[kGroup][kM], right[kGroup][kN];
      load<LayoutA, major_a, kLanesM>(left, a, k, first_row_, lane_id() / kLanesN);
      load<LayoutB, major_b, kLanesN>(right, b, k, first_column_, lane_id() % kLanesN);
#pragma unroll
      for (int g = 0; g < kGroup; ++g) {
#pragma unroll
        for (int i = 0; i < kM; ++i) {
#pragma unroll
          for (int j = 0; j < kN; ++j) sum_[i][j] = fmaf(left[g][i], right[g][j], sum_[i][j]);
        }
      }
    }
  }

  // Calls f(row, column, sum) for each sum.
  template <class F>
  __device__ void for_each(const F& f) const {
#pragma unroll
    for (int i = 0; i < kM; ++i) {
#pragma unroll
      for (int j = 0; j < kN; ++j) {
        f(first_row_ + index<major_a, kLanesM>(i, lane_id() / kLanesN),
          first_column_ + index<major_b, kLanesN>(j, lane_id() % kLanesN), sum_[i][j]);
      }
    }
  }

 private:
  // The i-th row (column) of a lane. Neighbouring rows belong to neighbouring lanes, one by one or four by four.
  template <Major major, int lanes>
  static __device__ int index(int i, int lane) {
    return major == Major::k ? i * lanes + lane : i / 4 * 4 * lanes + 4 * lane + i % 4;
  }

  template <class Layout, Major major, int lanes, int count>
  static __device__ void load(float (&values)[kGroup][count], const float* tile, int k, int first, int lane) {
    if constexpr (major == Major::k) {
#pragma unroll
      for (int i = 0; i < count; ++i) {
        const auto v = load_vector<4>(tile + Layout::at(first + index<major, lanes>(i, lane), k / 4));
#pragma unroll
        for (int g = 0; g < kGroup; ++g) values[g][i] = v[g];
      }
    } else {
#pragma unroll
      for (int g = 0; g < kGroup; ++g) {
#pragma unroll
        for (int i = 0; i < count; i += 4) {
          const auto v = load_vector<4>(tile + Layout::at(k + g, (first + index<major, lanes>(i, lane)) / 4));
#pragma unroll
          for (int e = 0; e < 4; ++e) values[g][i + e] = v[e];
        }
      }
    }
  }

  const int first_row_, first_column_;
  float sum_[kM][kN] = {};
};

}  // namespace poise::POISE_GPU
