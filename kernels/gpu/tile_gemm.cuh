// The main loop of every dense product: D[m,n] = sum_k A[m,k] B[n,k] for one block of the output. Loaders copy tiles of
// A and B to a ring of `stages` slots with cp.async while older tiles are multiplied. Sums go through shared memory, so
// that they are written in whole rows with 16-byte accesses.
#pragma once
#include "kernels/gpu/ending.cuh"
#include "kernels/gpu/simt_product.cuh"
#include "kernels/gpu/tensor_core_product.cuh"

namespace poise::POISE_GPU {

// What multiplies, and the type of elements in memory.
struct Bf16 {
  using Element = bf16;
  template <Major a, Major b, class Shape>
  using Product = TensorCoreProduct<bf16, a, b, Shape>;
};
struct Tf32 {
  using Element = float;
  template <Major a, Major b, class Shape>
  using Product = TensorCoreProduct<float, a, b, Shape>;
};
struct Fp32 {
  using Element = float;
  template <Major a, Major b, class Shape>
  using Product = SimtProduct<a, b, Shape>;
};

// Calls f<Math>(): for bf16 tensors Bf16; for f32 tensors Tf32 or Fp32, by the context's precision.
template <class F>
void dispatch_math(const Context& ctx, DType dtype, const F& f) {
  if (dtype == DType::bf16) return f.template operator()<Bf16>();
  require(dtype == DType::f32, "the GPU kernels exist for f32 and bf16 only");
  ctx.precision == Precision::tf32 ? f.template operator()<Tf32>() : f.template operator()<Fp32>();
}

template <class T, class Shape>
struct GemmShared {
  static constexpr int kRow = Shape::n + 8;  // row length of `sums`: 8 rows of pairs of f32 start in different banks
  struct Ring {
    T a[Shape::stages][Shape::m * kTileK<T>];
    T b[Shape::stages][Shape::n * kTileK<T>];
  };
  union {
    Ring ring;
    float sums[Shape::m][kRow];
  };
};

// Sums over `tiles` tiles. load_a.next(slot) starts the copies of the next tile of A; load_b does the same for B. The
// ring is free afterwards.
template <class T, class Shape, class Product, class LoadA, class LoadB>
__device__ inline void sum_tiles(GemmShared<T, Shape>& shared, int tiles, LoadA& load_a, LoadB& load_b,
                                 Product& product) {
  int fetched = 0, filling = 0, using_now = 0;
  const auto fetch = [&] {
    if (fetched < tiles) {
      load_a.next(shared.ring.a[filling]);
      load_b.next(shared.ring.b[filling]);
    }
    cp_async_commit();  // an empty group too, so that the number of groups behind a tile is always the same
    ++fetched;
    filling = filling + 1 == Shape::stages ? 0 : filling + 1;
  };
#pragma unroll
  for (int s = 0; s < Shape::stages - 1; ++s) fetch();
#pragma unroll 1
  for (int tile = 0; tile < tiles; ++tile) {
    cp_async_wait<Shape::stages - 2>();
    __syncthreads();  // the tile is complete, and no warp still reads the slot that fetch() fills
    fetch();
    product.add(shared.ring.a[using_now], shared.ring.b[using_now]);
    using_now = using_now + 1 == Shape::stages ? 0 : using_now + 1;
  }
  cp_async_wait<0>();
  __syncthreads();
}

// Elements column .. column + kWidth - 1 of a row of sums, which the lanes of a warp read side by side. Of two vectors,
// lanes 4 to 7 of eight read the second one first. So eight lanes, whose 128 bytes are read at once, use all banks.
template <int kWidth>
__device__ inline Vector<float, kWidth> read_sums(const float* from) {
  if constexpr (kWidth <= 4) {
    return load_vector<kWidth>(from);
  } else {
    static_assert(kWidth == 8);
    const bool second_first = lane_id() / 4 % 2 != 0;
    const auto a = load_vector<4>(from + (second_first ? 4 : 0)), b = load_vector<4>(from + (second_first ? 0 : 4));
    Vector<float, kWidth> v;
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      v[e] = second_first ? b[e] : a[e];
      v[4 + e] = second_first ? a[e] : b[e];
    }
    return v;
  }
}

// Writes columns 0 .. columns-1 of the block's sums. place(row) is the offset in `to` of column 0 of a row, or negative
// if there is no such row. `aligned`: every place and `columns` are multiples of 16 bytes.
template <class Out, class T, class Shape, class Product, class Place>
__device__ inline void store_sums(GemmShared<T, Shape>& shared, const Product& product, const Ending& ending, Out* to,
                                  int columns, bool aligned, const Place& place) {
  if constexpr (Product::kNeighbouringColumns) {
    product.for_each(
        [&](int row, int column, const Vector<float, 2>& v) { store_vector(&shared.sums[row][column], v); });
  } else {
    product.for_each([&](int row, int column, float v) { shared.sums[row][column] = v; });
  }
  __syncthreads();
  constexpr int kWidth = kChunk<Out>, kThreadsPerRow = Shape::n / kWidth, kRows = Shape::threads / kThreadsPerRow;
  const int column = static_cast<int>(threadIdx.x) % kThreadsPerRow * kWidth;
  const int width = columns - column < kWidth ? columns - column : kWidth;
  float bias[kWidth];
#pragma unroll
  for (int e = 0; e < kWidth; ++e) bias[e] = ending.bias && e < width ? ending.bias[column + e] : 0.0f;
  for (int row = static_cast<int>(threadIdx.x) / kThreadsPerRow; row < Shape::m; row += kRows) {
    const int64_t at = place(row);
    if (at < 0) continue;
    const Neighbours<kWidth> neighbours{at + column, width, aligned && width == kWidth};
    store_ending(ending, read_sums<kWidth>(&shared.sums[row][column]), bias, neighbours, to);
  }
}

}  // namespace poise::POISE_GPU
