// The lists for the kernels of block_conv2d.cu. They are small: at most some ten thousand entries. The order of every
// list depends on the mask alone.
#include "kernels/sparse/block/block_lists.h"

#include "kernels/gpu/elementwise.cuh"

namespace poise::POISE_GPU {
namespace {

constexpr int kListThreads = 256;
constexpr int kListWarps = kListThreads / kWarp;

// The sum of `count` over earlier threads, and over all threads. `shared` may be reused after the next barrier.
struct Scan {
  int before, total;
};
__device__ inline Scan scan_block(int count, int (&shared)[kListWarps]) {
  int inclusive = count;
#pragma unroll
  for (int distance = 1; distance < kWarp; distance *= 2) {
    const int other = __shfl_up_sync(kAllLanes, inclusive, static_cast<unsigned>(distance));
    if (lane_id() >= distance) inclusive += other;
  }
  if (lane_id() == kWarp - 1) shared[warp_id()] = inclusive;
  __syncthreads();
  Scan scan{inclusive - count, 0};
  for (int w = 0; w < kListWarps; ++w) {
    if (w < warp_id()) scan.before += shared[w];
    scan.total += shared[w];
  }
  return scan;
}

// One thread block per key. A thread lists one pair of blocks: the key's block and one other.
__global__ void __launch_bounds__(kListThreads) list_terms_kernel(const __grid_constant__ BuildTerms b) {
  GPU_SHARED(shared, int[kListWarps]);
  const Positions& positions = b.positions;
  const int key = static_cast<int>(blockIdx.x), per_parity = positions.per_parity();
  const int others = b.transposed ? b.alive.out_blocks : b.alive.in_blocks;
  // How many blocks of the source a pair has, and the parity of the first of them.
  const int blocks = b.transposed ? positions.parities : 1, first_parity = b.transposed ? 0 : key % positions.parities;
  Term* const terms = b.lists.terms + int64_t{key} * b.lists.capacity;
  int32_t* const starts = b.lists.starts + key * (b.lists.chunks + 1);
  int listed = 0;
  for (int first = 0; first < others; first += kListThreads) {
    const int other = first + static_cast<int>(threadIdx.x);
    const int out = b.transposed ? other : key / positions.parities, in = b.transposed ? key : other;
    const unsigned alive = other < others ? b.alive.taps_of(out, in) : 0;
    int count = 0;
    for (int i = first_parity * per_parity; i < (first_parity + blocks) * per_parity; ++i) {
      count += (positions.at[i].taps & alive) != 0;
    }
    const Scan scan = scan_block(count, shared);
    int at = listed + scan.before;
    for (int k = 0; k < blocks && other < others; ++k) {
      const int source = other * blocks + k;
      if (source % b.chunk_blocks == 0) starts[source / b.chunk_blocks] = at;
      for (int i = (first_parity + k) * per_parity; i < (first_parity + k + 1) * per_parity; ++i) {
        const Position& p = positions.at[i];
        const unsigned taps = p.taps & alive;
        if (!taps) continue;
        const int shift = p.dr * b.pitch + p.dc;
        terms[at++] = {.offset = source % b.chunk_blocks * b.plane + (b.transposed ? -shift : shift),
                       .other = static_cast<uint16_t>(other),
                       .taps = static_cast<uint16_t>(taps)};
      }
    }
    listed += scan.total;
    __syncthreads();
  }
  if (threadIdx.x == 0) starts[b.lists.chunks] = listed;
}

// The place of a key in the order of decreasing length.
__device__ inline int rank_of(const TermLists& lists, int key) {
  const auto length = [&](int k) { return lists.starts[(k + 1) * (lists.chunks + 1) - 1]; };
  const int mine = length(key);
  int rank = 0;
  for (int first = 0; first < lists.keys; first += kWarp) {
    const int k = first + lane_id();
    const bool before = k < lists.keys && (length(k) > mine || (length(k) == mine && k < key));
    rank += __popc(__ballot_sync(kAllLanes, before));
  }
  return rank;
}

// A warp gathers the weights of one term: grid x = eight terms, y = key. Bytes: the weights of alive blocks, read once
// per position and written once.
template <class T>
__global__ void __launch_bounds__(kListThreads) pack_terms_kernel(const __grid_constant__ BuildTerms b) {
  const int key = static_cast<int>(blockIdx.y), index = static_cast<int>(blockIdx.x) * kListWarps + warp_id();
  const TermLists& lists = b.lists;
  if (index == 0) {
    const int rank = rank_of(lists, key);
    if (lane_id() == 0) lists.order[rank] = key;
  }
  if (index >= lists.starts[(key + 1) * (lists.chunks + 1) - 1]) return;
  const int64_t slot = int64_t{key} * lists.capacity + index;
  const Term term = lists.terms[slot];
  const int taps = b.alive.taps, c_in = b.alive.in_blocks * kBlock;
  const int out = b.transposed ? term.other : key / b.positions.parities, in = b.transposed ? key : term.other;
  const T* const weight = static_cast<const T*>(b.weight) + int64_t{out} * kBlock * taps * c_in + in * kBlock;
  T* const to = static_cast<T*>(lists.weights) + slot * kBlockWeights;
  for (int chunk = lane_id(); chunk < kBlockWeights / kChunk<T>; chunk += kWarp) {
    const int target = chunk % kBlock, first_source = chunk / kBlock * kChunk<T>;
    Vector<T, kChunk<T>> v;
#pragma unroll
    for (int e = 0; e < kChunk<T>; ++e) {
      const int o = b.transposed ? first_source + e : target, i = b.transposed ? target : first_source + e;
      float sum = 0;
      for (unsigned left = term.taps; left != 0; left &= left - 1) {
        const int tap = __ffs(static_cast<int>(left)) - 1;
        sum += to_float(weight[(int64_t{o} * taps + tap) * c_in + i]);
      }
      v[e] = from_float<T>(b.round_to_tf32 ? __uint_as_float(to_tf32(sum)) : sum);
    }
    store_vector(to + chunk * kChunk<T>, v);
  }
}

// One thread block per panel, one thread per pair of blocks in it.
__global__ void __launch_bounds__(kListThreads) list_items_kernel(const __grid_constant__ BuildItems b) {
  static_assert(kListThreads == kPanel * kPanel);
  GPU_SHARED(shared, int[kListWarps]);
  const WorkItems& lists = b.lists;
  const Positions& positions = b.positions;
  const int panel = static_cast<int>(blockIdx.x), outs = kPanel / positions.parities;
  const int x_block = static_cast<int>(threadIdx.x) / outs, out_in_panel = static_cast<int>(threadIdx.x) % outs;
  const int out = panel / lists.panels_in * outs + out_in_panel, in = panel % lists.panels_in * kPanel + x_block;
  const bool exists = x_block < kPanel && out < b.alive.out_blocks && in < b.alive.in_blocks;
  const unsigned alive = exists ? b.alive.taps_of(out, in) : 0;
  int count = 0;
  for (int i = 0; i < positions.count; ++i) count += (positions.at[i].taps & alive) != 0;
  const Scan scan = scan_block(count, shared);
  if (threadIdx.x == 0) lists.counts[panel] = scan.total;
  if (!exists) return;
  const int pair = out * b.alive.in_blocks + in;
  lists.alive[pair] = static_cast<uint16_t>(alive);
  int at = scan.before;
  for (int i = 0; i < positions.count; ++i) {
    const Position& p = positions.at[i];
    const bool listed = (p.taps & alive) != 0;
    lists.place[int64_t{pair} * positions.count + i] = listed ? at : -1;
    if (!listed) continue;
    lists.terms[int64_t{panel} * lists.capacity + at++] = {
        .dy_block = static_cast<uint8_t>(out_in_panel * positions.parities + p.parity),
        .x_block = static_cast<uint8_t>(x_block),
        .shift = static_cast<int16_t>(p.dr * b.pitch + p.dc)};
  }
}

// Numbers the items, panel by panel; a thread per panel.
__global__ void number_items_kernel(WorkItems lists) {
  for_each_element(lists.panels() + 1, [&](int64_t panel) {
    int first = 0;
    for (int p = 0; p < panel; ++p) first += ceil_div(lists.counts[p], kItemTerms);
    lists.first_item[panel] = first;
    if (panel == lists.panels()) return;
    const int count = ceil_div(lists.counts[panel], kItemTerms);
    for (int item = first; item < first + count; ++item) lists.panel_of_item[item] = static_cast<int32_t>(panel);
  });
}

// A thread owns four neighbouring input channels of one tap, or a channel of dbias. Bytes: the partial sums of alive
// blocks and all of dweight.
__global__ void finish_items_kernel(const __grid_constant__ FinishItems f) {
  constexpr int kWidth = 4;
  const WorkItems& lists = f.lists;
  const int c_in = f.in_blocks * kBlock, parts = f.splits.count(lists.first_item[lists.panels()]);
  const int64_t vectors = int64_t{f.out_blocks} * kBlock * f.taps * c_in / kWidth;
  for_each_element(vectors + (f.dbias ? f.out_blocks * kBlock : 0), [&](int64_t v) {
    if (v >= vectors) {
      f.dbias[v - vectors] = f.bias.total(static_cast<int>(v - vectors));
      return;
    }
    const int in_channel = static_cast<int>(v * kWidth % c_in), rest = static_cast<int>(v * kWidth / c_in);
    const int tap = rest % f.taps, out_channel = rest / f.taps;
    const int out = out_channel / kBlock, in = in_channel / kBlock, pair = out * f.in_blocks + in;
    Vector<float, kWidth> sum{};
    if (lists.alive[pair] >> tap & 1) {
      const int panel = out * f.positions.parities / kPanel * lists.panels_in + in / kPanel;
      const int element = out_channel % kBlock * kBlock + in_channel % kBlock;
      for (int i = 0; i < f.positions.count; ++i) {
        if (!(f.positions.at[i].taps >> tap & 1)) continue;
        const int place = lists.place[int64_t{pair} * f.positions.count + i];
        const int64_t item = lists.first_item[panel] + place / kItemTerms;
        for (int part = 0; part < parts; ++part) {
          const int64_t term = (item * parts + part) * kItemTerms + place % kItemTerms;
          const auto partial = load_vector<kWidth>(f.partial + term * kBlockWeights + element);
#pragma unroll
          for (int k = 0; k < kWidth; ++k) sum[k] += partial[k];
        }
      }
    }
    store_vector(f.dweight + v * kWidth, sum);
  });
}

}  // namespace

void list_terms(Context& ctx, const BuildTerms& b) {
  launch(ctx, {.grid = static_cast<uint32_t>(b.lists.keys), .block = kListThreads}, list_terms_kernel, b);
}

template <class T>
void pack_terms(Context& ctx, const BuildTerms& b) {
  const auto keys = static_cast<uint32_t>(b.lists.keys);
  launch(ctx, {.grid = {static_cast<uint32_t>(ceil_div(b.lists.capacity, kListWarps)), keys, 1}, .block = kListThreads},
         pack_terms_kernel<T>, b);
}

template void pack_terms<bf16>(Context&, const BuildTerms&);
template void pack_terms<float>(Context&, const BuildTerms&);

void list_items(Context& ctx, const BuildItems& b) {
  launch(ctx, {.grid = static_cast<uint32_t>(b.lists.panels()), .block = kListThreads}, list_items_kernel, b);
  launch(ctx, elementwise(b.lists.panels() + 1), number_items_kernel, b.lists);
}

void finish_items(Context& ctx, const FinishItems& f) {
  const int64_t vectors = int64_t{f.out_blocks} * f.in_blocks * f.taps * kBlockWeights / 4;
  launch(ctx, elementwise(vectors + (f.dbias ? f.out_blocks * kBlock : 0)), finish_items_kernel, f);
}

}  // namespace poise::POISE_GPU
