// `SddGemm` of block_products.h: the weight gradient at alive blocks.
//
// A thread block works on one item, up to 64 terms of one panel of the weight, over some of the tiles of 64 pixels. It
// copies the blocks of dy and x that the item uses into shared memory, x with its frame; each of its eight warps keeps
// the 16 x 16 sums of up to eight terms in registers. A warp's terms are neighbours in the list, so that successive
// terms of one pair of blocks share the fragments of dy. Dense masks (few blocks of x per item) and sparse masks (many)
// run the same code: an item fetches only what it needs.
//
// The size of the grid follows from the device, not from the mask. Workers go through items x parts, with as many parts
// as suit the number of items (PixelSplits), and write partial sums, which a second pass adds up in order.
//
// Cost per tile, if a panel of 256 x 256 channels is in use: 86 KiB (bf16) into shared memory for at most 1M
// multiply-adds; from shared memory 512 bytes of x, and of dy where it changes, per 4096 multiply-adds.
#pragma once
#include "kernels/gpu/column_sums.cuh"
#include "kernels/gpu/tile_gemm.cuh"
#include "kernels/sparse/block/block_products.h"

namespace poise::POISE_GPU {

constexpr int kSddThreads = 256, kSddWarps = kSddThreads / kWarp, kSddPixels = 1 << kLogSddPixels;
constexpr int kWarpTerms = kItemTerms / kSddWarps;

// sum += dy^T x over kStep pixels, for one block of each. A lane has eight sums; place_*(frame, pixel) is where it
// reads, in units of 16 bytes; for_each(sum, f) calls f(output channel, input channel, neighbouring sums).
template <class Math>
struct SddProduct;

template <>
struct SddProduct<Bf16> {
  static constexpr int kStep = 16;
  using Place = int;
  struct Left {
    uint32_t r[4];
  };
  using Right = Left;

  // Matrices of 8 pixels x 8 channels; the transposing ldmatrix makes pixels the summed dimension.
  static __device__ Place place_dy(const Frame& frame, int pixel) {
    const int lane = lane_id();
    return frame.slot(pixel + lane / 16 * 8 + lane % 8) + lane / 8 % 2 * frame.plane;
  }
  static __device__ Place place_x(const Frame& frame, int pixel) {
    return frame.slot(pixel + lane_id() % 16) + lane_id() / 16 * frame.plane;
  }
  static __device__ void load(Left& l, const bf16* tile, int offset, Place place) {
    ldmatrix_x4_trans(l.r, tile + (offset + place) * kChunk<bf16>);
  }
  static __device__ void add(float (&sum)[2][4], const Left& dy, const Right& x) {
    const uint32_t left[2] = {x.r[0], x.r[1]}, right[2] = {x.r[2], x.r[3]};
    mma_m16n8k16_bf16(sum[0], dy.r, left);
    mma_m16n8k16_bf16(sum[1], dy.r, right);
  }
  template <class F>
  static __device__ void for_each(const float (&sum)[2][4], const F& f) {
    const int group = lane_id() / 4, pair = lane_id() % 4 * 2;
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      f(group, 8 * j + pair, Vector<float, 2>{sum[j][0], sum[j][1]});
      f(group + 8, 8 * j + pair, Vector<float, 2>{sum[j][2], sum[j][3]});
    }
  }
};

// tf32 has no transposing ldmatrix. A lane reads two neighbouring channels of a pixel and uses them as rows g and g + 8
// of a fragment (or as column g of two fragments). This permutes channels, and only for_each has to undo it.
template <>
struct SddProduct<Tf32> {
  static constexpr int kStep = 8;
  struct Place {
    int first, second;  // pixels t and t + 4
  };
  struct Left {
    uint32_t r[4];
  };
  using Right = Left;

  static __device__ Place place_dy(const Frame& frame, int pixel) {
    const int t = lane_id() % 4, plane = lane_id() / 8 * frame.plane;
    return {frame.slot(pixel + t) + plane, frame.slot(pixel + t + 4) + plane};
  }
  static __device__ Place place_x(const Frame& frame, int pixel) { return place_dy(frame, pixel); }
  static __device__ void load(Left& l, const float* tile, int offset, const Place& place) {
    const float* const at = tile + offset * kChunk<float> + lane_id() / 4 % 2 * 2;
    const auto first = load_vector<2>(at + place.first * kChunk<float>);
    const auto second = load_vector<2>(at + place.second * kChunk<float>);
    l.r[0] = to_tf32(first[0]), l.r[1] = to_tf32(first[1]);
    l.r[2] = to_tf32(second[0]), l.r[3] = to_tf32(second[1]);
  }
  static __device__ void add(float (&sum)[2][4], const Left& dy, const Right& x) {
    const uint32_t even[2] = {x.r[0], x.r[2]}, odd[2] = {x.r[1], x.r[3]};
    mma_m16n8k8_tf32(sum[0], dy.r, even);
    mma_m16n8k8_tf32(sum[1], dy.r, odd);
  }
  template <class F>
  static __device__ void for_each(const float (&sum)[2][4], const F& f) {
    const int out = lane_id() / 4 * 2, in = lane_id() % 4 * 4;
    f(out, in, Vector<float, 4>{sum[0][0], sum[1][0], sum[0][1], sum[1][1]});
    f(out + 1, in, Vector<float, 4>{sum[0][2], sum[1][2], sum[0][3], sum[1][3]});
  }
};

// Two output channels and four input channels per lane.
template <>
struct SddProduct<Fp32> {
  static constexpr int kStep = 1;
  using Place = int;
  using Left = Vector<float, 2>;
  using Right = Vector<float, 4>;

  static __device__ Place place_dy(const Frame& frame, int pixel) {
    return frame.slot(pixel) + lane_id() / 8 * frame.plane;
  }
  static __device__ Place place_x(const Frame& frame, int pixel) {
    return frame.slot(pixel) + lane_id() % 4 * frame.plane;
  }
  static __device__ void load(Left& l, const float* tile, int offset, Place place) {
    l = load_vector<2>(tile + (offset + place) * kChunk<float> + lane_id() / 4 % 2 * 2);
  }
  static __device__ void load(Right& r, const float* tile, int offset, Place place) {
    r = load_vector<4>(tile + (offset + place) * kChunk<float>);
  }
  static __device__ void add(float (&sum)[2][4], const Left& dy, const Right& x) {
#pragma unroll
    for (int e = 0; e < 8; ++e) sum[e / 4][e % 4] = fmaf(dy[e / 4], x[e % 4], sum[e / 4][e % 4]);
  }
  template <class F>
  static __device__ void for_each(const float (&sum)[2][4], const F& f) {
    const int out = lane_id() / 4 * 2, in = lane_id() % 4 * 4;
    f(out, in, Vector<float, 4>{sum[0][0], sum[0][1], sum[0][2], sum[0][3]});
    f(out + 1, in, Vector<float, 4>{sum[1][0], sum[1][1], sum[1][2], sum[1][3]});
  }
};

struct SddShared {
  SddTerm terms[kItemTerms];
  uint32_t used;                  // bit b: block b of x; bit 16 + b: block b of dy
  alignas(128) uint32_t tile[4];  // the first bytes; the launch requests the rest
};

// The blocks that a list of terms uses, as bits. Called by a whole warp.
__device__ inline uint32_t used_blocks(const SddTerm (&terms)[kItemTerms], int count) {
  bool used = false;
  for (int i = 0; i < count; ++i) {
    const int block = lane_id() < kPanel ? terms[i].x_block : kPanel + terms[i].dy_block;
    used = used || block == lane_id();
  }
  return __ballot_sync(kAllLanes, used);
}

// The terms of an item that one warp sums, and where their blocks of x and dy are in the tiles.
template <class T>
struct WarpTerms {
  int first, count;
  int x_at[kWarpTerms], dy_at[kWarpTerms];

  __device__ WarpTerms(const SddGemm& o, const SddTerm (&terms)[kItemTerms], int terms_count) {
    const int per_warp = ceil_div(terms_count, kSddWarps);
    first = warp_id() * per_warp;
    count = max(0, min(per_warp, terms_count - first));
#pragma unroll
    for (int s = 0; s < kWarpTerms; ++s) {
      x_at[s] = dy_at[s] = 0;
      if (s < count) {
        const SddTerm term = terms[first + s];
        x_at[s] = term.x_block * kPlanes<T> * o.x_frame.plane + term.shift;
        dy_at[s] = term.dy_block * kPlanes<T> * o.dy_frame.plane;
      }
    }
  }
};

// sum[s] += dy x^T of term s over the pixels of the tiles in shared memory.
template <class Math, class T>
__device__ inline void add_tile(const SddGemm& o, const WarpTerms<T>& mine, const T* x_tile, const T* dy_tile,
                                float (&sum)[kWarpTerms][2][4]) {
  using Product = SddProduct<Math>;
#pragma unroll 1
  for (int pixel = 0; pixel < kSddPixels; pixel += Product::kStep) {
    const auto dy_place = Product::place_dy(o.dy_frame, pixel);
    const auto x_place = Product::place_x(o.x_frame, pixel);
    typename Product::Left dy;
    typename Product::Right x;
#pragma unroll
    for (int s = 0; s < kWarpTerms; ++s) {
      if (s >= mine.count) continue;
      if (s == 0 || mine.dy_at[s] != mine.dy_at[s - 1]) Product::load(dy, dy_tile, mine.dy_at[s], dy_place);
      Product::load(x, x_tile, mine.x_at[s], x_place);
      Product::add(sum[s], dy, x);
    }
  }
}

template <class Math>
constexpr int kSddBlocksPerMultiprocessor = sizeof(typename Math::Element) == 2 ? 2 : 1;

// Grid: workers, then the thread blocks that sum columns of dy.
template <class Math>
__global__ void __launch_bounds__(kSddThreads, kSddBlocksPerMultiprocessor<Math>)
    sdd_gemm_kernel(const __grid_constant__ SddGemm o) {
  using T = typename Math::Element;
  using Product = SddProduct<Math>;
  GPU_DYNAMIC_SHARED(shared, SddShared);
  T* const x_tile = reinterpret_cast<T*>(shared.tile);
  if (const int beyond = static_cast<int>(blockIdx.x) - o.splits.workers; beyond >= 0) {
    constexpr int kWidth = kChunk<T>, kRows = kSddThreads / kTileVectors;
    void* const memory = shared.tile;
    return sum_columns<T, kWidth, kRows>(o.bias, beyond, *static_cast<TileShared<kWidth, kRows>*>(memory));
  }
  T* const dy_tile = x_tile + o.x_frame.plane * kPlanes<T> * kPanel * kChunk<T>;
  const WorkItems& lists = o.lists;
  const int items = lists.first_item[lists.panels()], parts = o.splits.count(items);
#pragma unroll 1
  for (int task = static_cast<int>(blockIdx.x); task < items * parts; task += o.splits.workers) {
    const int item = task / parts, part = task - item * parts, panel = lists.panel_of_item[item];
    const int first = (item - lists.first_item[panel]) * kItemTerms;
    const int count = min(kItemTerms, lists.counts[panel] - first);
    __syncthreads();  // no warp still reads the previous item
    if (static_cast<int>(threadIdx.x) < count) {
      shared.terms[threadIdx.x] = lists.terms[int64_t{panel} * lists.capacity + first + threadIdx.x];
    }
    __syncthreads();
    if (warp_id() == 0) {
      const uint32_t used = used_blocks(shared.terms, count);
      if (lane_id() == 0) shared.used = used;
    }
    __syncthreads();

    const WarpTerms<T> mine(o, shared.terms, count);
    const uint32_t used = shared.used;
    const int x_first = panel % lists.panels_in * kPanel, dy_first = panel / lists.panels_in * kPanel;

    float sum[kWarpTerms][2][4] = {};
    const int end = (part + 1) * o.tiles.count / parts;
#pragma unroll 1
    for (int tile = part * o.tiles.count / parts; tile < end; ++tile) {
      __syncthreads();  // no warp still reads the previous tile
      const TileOrigin origin(o.tiles, tile);
      copy_tile(o.x, o.tiles, o.x_frame, origin, x_first, used & 0xffff, x_tile);
      copy_tile(o.dy, o.tiles, o.dy_frame, origin, dy_first, used >> kPanel, dy_tile);
      cp_async_commit();
      cp_async_wait<0>();
      __syncthreads();
      add_tile<Math>(o, mine, x_tile, dy_tile, sum);
    }
#pragma unroll
    for (int s = 0; s < kWarpTerms; ++s) {
      if (s >= mine.count) continue;
      float* const to = o.partial + (int64_t{task} * kItemTerms + mine.first + s) * kBlockWeights;
      Product::for_each(sum[s], [&](int out, int in, const auto& v) { store_vector(to + out * kBlock + in, v); });
    }
  }
}

template <class Math>
void launch_sdd_gemm(Context& ctx, const SddGemm& o) {
  using T = typename Math::Element;
  launch(ctx,
         {.grid = static_cast<uint32_t>(o.splits.workers + column_sum_blocks<kChunk<T>>(o.bias)),
          .block = kSddThreads,
          .shared_bytes =
              sizeof(SddShared) + static_cast<size_t>(o.x_frame.bytes<T>(kPanel) + o.dy_frame.bytes<T>(kPanel))},
         sdd_gemm_kernel<Math>, o);
}

}  // namespace poise::POISE_GPU
