// `DsdGemm` of block_products.h: forward pass and input gradient.
//
// A thread block keeps a tile of 128 pixels with its frame in shared memory, with all channels of the source or as many
// as fit; nothing is fetched again for other taps or other blocks of the target. Each of its eight warps works on one
// key (16 channels of the target) at a time, with 128 x 16 sums in registers, and walks the key's terms. A term is 16 x
// 16 weights, which stream through the warp's own ring of cp.async copies. Warps wait only for their own copies, so
// lists of different lengths cost nothing until the end. Keys are dealt longest first, back and forth over all warps
// that share a tile, which evens out their work.
//
// Cost per term and warp: 512 (bf16) or 1024 bytes of weights from L2, and 32768 multiply-adds. With bf16, shared
// memory delivers 4 KiB of pixels and the weights in 36 clocks of 128 bytes, where the tensor cores need 26 to 32. From
// global memory: the source once per tile with its frame, the target once.
#pragma once
#include "kernels/dense/conv2d/upsample_fold.h"
#include "kernels/gpu/tile_gemm.cuh"
#include "kernels/sparse/block/block_products.h"

namespace poise::POISE_GPU {

constexpr int kDsdThreads = kDsdWarps * kWarp;
constexpr int kFragments = (1 << kLogDsdPixels) / 16;  // 16 pixels each

// A warp's 128 pixels x 16 channels on tensor cores.
template <class T>
class TensorCoreBlockProduct {
 public:
  // Where fragment i of this lane starts, in units of 16 bytes.
  static __device__ int base(const Frame& frame, int i) {
    return frame.slot(16 * i + lane_id() % 16) + lane_id() / 16 * frame.plane;
  }

  __device__ void add(const T* tile, const int (&base)[kFragments], int offset, int plane, const T* weights) {
    const int lane = lane_id(), target = lane % 8 + lane / 16 * 8;
#pragma unroll
    for (int step = 0; step < kPlanes<T> / 2; ++step) {
      uint32_t w[4];  // two fragments of 8 channels of the target
      ldmatrix_x4(w, weights + ((2 * step + lane / 8 % 2) * kBlock + target) * kChunk<T>);
      const uint32_t left[2] = {w[0], w[1]}, right[2] = {w[2], w[3]};
#pragma unroll
      for (int i = 0; i < kFragments; ++i) {
        uint32_t pixels[4];
        ldmatrix_x4(pixels, tile + (base[i] + offset + 2 * step * plane) * kChunk<T>);
        if constexpr (sizeof(T) == 2) {
          mma_m16n8k16_bf16(sum_[i][0], pixels, left);
          mma_m16n8k16_bf16(sum_[i][1], pixels, right);
        } else {
#pragma unroll
          for (uint32_t& x : pixels) x = to_tf32(__uint_as_float(x));
          mma_m16n8k8_tf32(sum_[i][0], pixels, left);
          mma_m16n8k8_tf32(sum_[i][1], pixels, right);
        }
      }
    }
  }

  // A lane's sums belong to four channels, starting at this one.
  static constexpr int kFours = 1;
  static __device__ int channel(int) {
    const int quad = lane_id() % 4;
    return quad % 2 != 0 ? 6 + 2 * quad : 2 * quad;
  }
  // Calls f(pixel, 0, four sums). Lanes exchange sums with a neighbour to get adjacent channels, so that four lanes
  // write a pixel's channels in one access.
  template <class F>
  __device__ void for_each(const F& f) const {
    const int group = lane_id() / 4;
    const bool odd = lane_id() % 2 != 0;
#pragma unroll
    for (int i = 0; i < kFragments; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        Vector<float, 4> v;
#pragma unroll
        for (int k = 0; k < 2; ++k) {
          const float left = sum_[i][0][2 * half + k], right = sum_[i][1][2 * half + k];
          const float other = __shfl_xor_sync(kAllLanes, odd ? left : right, 1);
          v[k] = odd ? other : left;
          v[2 + k] = odd ? right : other;
        }
        f(16 * i + 8 * half + group, 0, v);
      }
    }
  }

 private:
  float sum_[kFragments][2][4] = {};
};

// The same on CUDA cores: a lane owns 8 pixels and 8 channels.
class SimtBlockProduct {
 public:
  static __device__ int base(const Frame& frame, int i) { return frame.slot(16 * i + lane_id() % 16); }

  __device__ void add(const float* tile, const int (&base)[kFragments], int offset, int plane, const float* weights) {
    const int first_channel = lane_id() / 16 * 8;
#pragma unroll 1
    for (int k = 0; k < kPlanes<float>; ++k) {
      Vector<float, 4> w[8];
#pragma unroll
      for (int j = 0; j < 8; ++j) w[j] = load_vector<4>(weights + (k * kBlock + first_channel + j) * 4);
#pragma unroll
      for (int i = 0; i < kFragments; ++i) {
        const auto x = load_vector<4>(tile + (base[i] + offset + k * plane) * 4);
#pragma unroll
        for (int j = 0; j < 8; ++j) {
#pragma unroll
          for (int e = 0; e < 4; ++e) sum_[i][j] = fmaf(x[e], w[j][e], sum_[i][j]);
        }
      }
    }
  }

  static constexpr int kFours = 2;
  static __device__ int channel(int four) { return lane_id() / 16 * 8 + four * 4; }
  // Calls f(pixel, number of the four, four sums).
  template <class F>
  __device__ void for_each(const F& f) const {
#pragma unroll
    for (int i = 0; i < kFragments; ++i) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        f(16 * i + lane_id() % 16, j,
          Vector<float, 4>{sum_[i][4 * j], sum_[i][4 * j + 1], sum_[i][4 * j + 2], sum_[i][4 * j + 3]});
      }
    }
  }

 private:
  float sum_[kFragments][8] = {};
};

template <class Math>
struct BlockProductOf {
  using Type = TensorCoreBlockProduct<typename Math::Element>;
  static constexpr int kBlocksPerMultiprocessor = 2;
};
template <>
struct BlockProductOf<Fp32> {
  using Type = SimtBlockProduct;
  static constexpr int kBlocksPerMultiprocessor = 1;  // two would leave too few registers
};

// The work of one warp: in each round one key, and for every chunk of the source a stretch of that key's terms.
struct WarpWork {
  const TermLists& lists;
  int warps, warp;  // number of warps that share the keys; this one

  struct Stretch {
    int begin, end;  // in the lists; empty where there is no key
  };
  __device__ int rounds() const { return ceil_div(lists.keys, warps); }
  __device__ int key(int round) const {
    const int at = round * warps + (round % 2 == 0 ? warp : warps - 1 - warp);
    return at < lists.keys ? lists.order[at] : -1;
  }
  __device__ Stretch stretch(int key, int chunk) const {
    if (key < 0) return {0, 0};
    const int32_t* const starts = lists.starts + key * (lists.chunks + 1) + chunk;
    return {key * lists.capacity + starts[0], key * lists.capacity + starts[1]};
  }
};

// Streams the weights of all of a warp's terms in order, some terms ahead of their use.
template <class T>
class WeightStream {
 public:
  __device__ WeightStream(const WarpWork& work, T (*ring)[kBlockWeights])
      : work_(work), ring_(ring), stretch_(work.stretch(work.key(0), 0)) {
#pragma unroll
    for (int s = 0; s < kWeightStages - 1; ++s) fetch();
  }

  // The next term's weights, valid until the next call.
  __device__ const T* next() {
    cp_async_wait<kWeightStages - 2>();
    __syncwarp();  // all lanes' copies have landed, and none reads the slot that fetch() fills
    fetch();
    const T* const weights = ring_[using_];
    using_ = (using_ + 1) % kWeightStages;
    return weights;
  }

 private:
  __device__ void fetch() {
    while (stretch_.begin == stretch_.end && round_ < work_.rounds()) {
      if (++chunk_ == work_.lists.chunks) chunk_ = 0, ++round_;
      if (round_ < work_.rounds()) stretch_ = work_.stretch(work_.key(round_), chunk_);
    }
    if (stretch_.begin < stretch_.end) {
      const T* const from = static_cast<const T*>(work_.lists.weights) + int64_t{stretch_.begin} * kBlockWeights;
#pragma unroll
      for (int e = lane_id() * kChunk<T>; e < kBlockWeights; e += kWarp * kChunk<T>) {
        cp_async<16>(ring_[filling_] + e, from + e);
      }
      ++stretch_.begin;
    }
    cp_async_commit();  // an empty group too: see sum_tiles (tile_gemm.cuh)
    filling_ = (filling_ + 1) % kWeightStages;
  }

  const WarpWork& work_;
  T (*const ring_)[kBlockWeights];
  WarpWork::Stretch stretch_;
  int round_ = 0, chunk_ = 0, filling_ = 0, using_ = 0;
};

template <class T>
struct MultiplyShared {
  T rings[kDsdWarps][kWeightStages][kBlockWeights];
  int32_t places[1 << kLogDsdPixels];  // of the tile's pixels in the target, or -1
  T tile[kChunk<T>];                   // the first bytes; the launch requests the rest
};

// Adds the bias of a key to its sums and writes them. Everything that is the same for all keys or all pixels is
// computed before, and the stores of a pixel's repeats are in one branch.
template <class T, class Product>
__device__ inline void store_key(const DsdGemm& m, const int32_t (&places)[1 << kLogDsdPixels], int key,
                                 const Product& product) {
  Vector<float, 4> bias[Product::kFours] = {};
  if (m.bias) {
    const float* const from = m.bias + (m.to.parities == 1 ? key : key / kParities) * kBlock;
#pragma unroll
    for (int j = 0; j < Product::kFours; ++j) bias[j] = load_vector<4>(from + Product::channel(j));
  }
  T* const to = static_cast<T*>(m.to.data) + m.to.block(key) + Product::channel(0);
  const int line = m.to.w * m.to.scale * m.to.channels;
  const auto store = [&]<bool kFinishes>() {
    product.for_each([&](int pixel, int four, Vector<float, 4> v) {
      const int place = places[pixel];
      if (place < 0) return;
      T* const at = to + place + 4 * four;
      Vector<T, 4> stored;
      if (kFinishes && (m.adds || m.masks)) stored = load_vector<4>(at);
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        float sum = v[e] + bias[four][e];
        if constexpr (kFinishes) {
          if (m.adds) sum += to_float(stored[e]);
          if (m.masks) sum = to_float(stored[e]) > 0 ? sum : 0 * sum;
          sum = m.relu && sum < 0 ? 0.0f : sum;
        }
        stored[e] = from_float<T>(sum);
      }
      store_vector(at, stored);
      if (m.repeat) {
        store_vector(at + m.to.channels, stored);
        store_vector(at + line, stored);
        store_vector(at + line + m.to.channels, stored);
      }
    });
  };
  m.adds || m.masks || m.relu ? store.template operator()<true>() : store.template operator()<false>();
}

// Grid: x = tile, y = group of keys.
template <class Math>
__global__ void __launch_bounds__(kDsdThreads, BlockProductOf<Math>::kBlocksPerMultiprocessor)
    dsd_gemm_kernel(const __grid_constant__ DsdGemm m) {
  using T = typename Math::Element;
  GPU_DYNAMIC_SHARED(shared, MultiplyShared<T>);
  T* const tile = shared.tile;
  const TileOrigin origin(m.tiles, static_cast<int>(blockIdx.x));
  const WarpWork work{.lists = m.lists,
                      .warps = static_cast<int>(gridDim.y) * kDsdWarps,
                      .warp = static_cast<int>(blockIdx.y) * kDsdWarps + warp_id()};
  int base[kFragments];
#pragma unroll
  for (int i = 0; i < kFragments; ++i) base[i] = BlockProductOf<Math>::Type::base(m.frame, i);
  WeightStream<T> weights(work, shared.rings[warp_id()]);
  // Read only after the barriers of the first chunk.
  if (const int pixel = static_cast<int>(threadIdx.x); pixel < 1 << kLogDsdPixels) {
    shared.places[pixel] = origin.place(m.tiles, m.to, pixel);
  }

  int resident = -1;
#pragma unroll 1
  for (int round = 0; round < work.rounds(); ++round) {
    const int key = work.key(round);
    typename BlockProductOf<Math>::Type product;
#pragma unroll 1
    for (int chunk = 0; chunk < m.lists.chunks; ++chunk) {
      if (chunk != resident) {
        __syncthreads();  // no warp still reads the previous chunk
        const int first = chunk * m.chunk_blocks, count = min(m.chunk_blocks, m.source_blocks - first);
        copy_tile(m.from, m.tiles, m.frame, origin, first, kAllLanes >> (kWarp - count), tile);
        cp_async_commit();
        cp_async_wait<0>();
        __syncthreads();
        resident = chunk;
      }
      const WarpWork::Stretch stretch = work.stretch(key, chunk);
#pragma unroll 1
      for (int first = stretch.begin; first < stretch.end; first += kWarp) {
        const int mine = first + lane_id();
        const int offsets = mine < stretch.end ? m.lists.terms[mine].offset : 0;
        const int count = min(kWarp, stretch.end - first);
#pragma unroll 1
        for (int k = 0; k < count; ++k) {
          const int offset = __shfl_sync(kAllLanes, offsets, k);
          product.add(tile, base, offset, m.frame.plane, weights.next());
        }
      }
    }
    if (key < 0) continue;
    store_key<T>(m, shared.places, key, product);
  }
}

template <class Math>
void launch_dsd_gemm(Context& ctx, const DsdGemm& m) {
  using T = typename Math::Element;
  launch(ctx,
         {.grid = {static_cast<uint32_t>(m.tiles.count), static_cast<uint32_t>(m.key_groups), 1},
          .block = kDsdThreads,
          .shared_bytes = sizeof(MultiplyShared<T>) + static_cast<size_t>(m.frame.bytes<T>(m.chunk_blocks))},
         dsd_gemm_kernel<Math>, m);
}

}  // namespace poise::POISE_GPU
