// Packs weights into the form that the dense kernels read, up to 32 in a launch. A thread block takes 1024 vectors of
// four neighbouring input channels of one weight, or single elements if the channels are not a multiple of four. Bytes:
// each weight once (a folded tap is read up to four times, from L1) and its packed form once.
#include "kernels/dense/conv2d/packed_weights.cuh"

#include <algorithm>

#include "kernels/gpu/elementwise.cuh"

namespace poise::POISE_GPU {
namespace {

constexpr int kWeightsPerLaunch = 32;
constexpr int kVectorsPerThread = 4, kVectorsPerBlock = kElementwiseThreads * kVectorsPerThread;
constexpr int kWide = 4;

// Weight w owns the blocks first_block[w] .. first_block[w + 1] - 1.
struct PackedBatch {
  PackedWeight weights[kWeightsPerLaunch];
  int first_block[kWeightsPerLaunch + 1];
  int count = 0;
};
static_assert(sizeof(PackedBatch) <= 4096);

POISE_HOST_DEVICE inline int width_of(const PackedWeight& w) { return w.shape.c_in % kWide == 0 ? kWide : 1; }
POISE_HOST_DEVICE inline int vectors_of(const PackedWeight& w) {
  return w.shape.c_out * w.shape.taps_h() * w.shape.taps_w() * (w.padded / width_of(w));
}

template <class From, class To, int N>
__device__ inline void pack_vector(const PackedWeight& w, int vector) {
  const WeightShape& shape = w.shape;
  const int vectors = w.padded / N, i = vector % vectors * N, position = vector / vectors;
  const TapRange columns = shape.taps_of(shape.kw, position % shape.taps_w());
  const TapRange rows = shape.taps_of(shape.kh, position / shape.taps_w() % shape.taps_h());
  const int o = position / shape.taps_w() / shape.taps_h();
  Vector<float, N> sum{};
  for (int r = rows.first; r <= rows.last; ++r) {
    for (int s = columns.first; s <= columns.last; ++s) {
      if (i >= shape.c_in) continue;
      const auto part = load_floats<N>(static_cast<const From*>(w.from) +
                                       ((int64_t{o} * shape.kh + r) * shape.kw + s) * shape.c_in + i);
#pragma unroll
      for (int k = 0; k < N; ++k) sum[k] += part[k];
    }
  }
#pragma unroll
  for (int k = 0; k < N; ++k) sum[k] *= shape.factor();
  store_floats(static_cast<To*>(w.to) + int64_t{vector} * N, sum);
}

template <class From, class To>
__global__ __launch_bounds__(kElementwiseThreads) void pack_weights_kernel(const __grid_constant__ PackedBatch batch) {
  int number = 0;
  while (static_cast<int>(blockIdx.x) >= batch.first_block[number + 1]) ++number;
  const PackedWeight& w = batch.weights[number];
  const int first = (static_cast<int>(blockIdx.x) - batch.first_block[number]) * kVectorsPerBlock;
  const int end = min(vectors_of(w), first + kVectorsPerBlock);
  for (int vector = first + static_cast<int>(threadIdx.x); vector < end; vector += kElementwiseThreads) {
    width_of(w) == kWide ? pack_vector<From, To, kWide>(w, vector) : pack_vector<From, To, 1>(w, vector);
  }
}

template <class From, class To>
void launch_batch(Context& ctx, PackedBatch& batch) {
  int blocks = 0;
  for (int i = 0; i < batch.count; ++i) {
    batch.first_block[i] = blocks;
    blocks += ceil_div(vectors_of(batch.weights[i]), kVectorsPerBlock);
  }
  batch.first_block[batch.count] = blocks;
  launch(ctx, {.grid = static_cast<uint32_t>(blocks), .block = kElementwiseThreads}, pack_weights_kernel<From, To>,
         batch);
}

}  // namespace

void pack_weights(Context& ctx, DType from, DType to, std::span<const PackedWeight> weights) {
  for (size_t first = 0; first < weights.size(); first += kWeightsPerLaunch) {
    PackedBatch batch;
    const size_t count = std::min<size_t>(kWeightsPerLaunch, weights.size() - first);
    for (const PackedWeight& w : weights.subspan(first, count)) batch.weights[batch.count++] = w;
    dispatch_stored(
        to, [&]<class To>() { from == to ? launch_batch<To, To>(ctx, batch) : launch_batch<float, To>(ctx, batch); });
  }
}

}  // namespace poise::POISE_GPU
