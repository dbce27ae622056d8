// Exact selection: the radix select of select.cpp, on the same keys, with the same passes. A block processes a chunk of
// kSelectChunk cells of one segment. Blocks share only sums and maxima of integers, so the order of atomics does not
// matter; ties are resolved by position, not by which block comes first.
//
//   keep:   the best cell of every segment                    maximum of (key, lowest index)
//   3 x:    histogram of weights by 11, 11 and 10 bits of key, then one block finds the bucket that does not fit
//   ties:   the weights of the cells whose key is the limit, per chunk
//   apply:  each block adds up the ties of all earlier chunks, and numbers its own ties
//
// Bytes: 5 per cell and pass, from L2 after the first pass on a large device; 9 to 10 launches. G of SNGAN-32, single
// weights (4.28 M): 130 MB, 30 us at 4.3 TB/s, as much in launches. Predicted; not yet measured on a GPU.
#include "kernels/sparse/masks/select.h"

#include <utility>

#include "kernels/gpu/elementwise.cuh"
#include "kernels/gpu/scan.cuh"

namespace poise::POISE_GPU {
namespace {

using Word = unsigned long long;
static_assert(sizeof(Word) == sizeof(uint64_t));

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr int kCellsPerThread = static_cast<int>(kSelectChunk) / kThreads;  // neighbours, where order matters
constexpr int kBuckets = kSelectBuckets;
constexpr int kSegmentsPerLaunch = 64;

// Segment s owns the blocks first_chunk[s] .. first_chunk[s + 1] - 1 of the grid.
struct Batch {
  CellSegment segments[kSegmentsPerLaunch];
  int first_chunk[kSegmentsPerLaunch + 1];
  int count;
  int segments_before, chunks_before;  // in earlier batches
};
static_assert(sizeof(Batch) + 64 <= 4096, "a batch is a kernel parameter");

// The cells that a block processes.
struct Chunk {
  int segment, number;  // counted over all batches
  int64_t first_of_segment, begin, end;
  Word weights_per_cell;

  __device__ explicit Chunk(const Batch& batch) {
    int s = 0;
    while (static_cast<int>(blockIdx.x) >= batch.first_chunk[s + 1]) ++s;
    const CellSegment& of = batch.segments[s];
    segment = batch.segments_before + s;
    number = batch.chunks_before + static_cast<int>(blockIdx.x);
    first_of_segment = of.first;
    begin = of.first + (static_cast<int>(blockIdx.x) - batch.first_chunk[s]) * kSelectChunk;
    end = min(of.first + of.cells, begin + kSelectChunk);
    weights_per_cell = static_cast<Word>(of.weights_per_cell);
  }
};

struct Progress {
  Word left;       // budget that is left after all cells that are certain to be chosen
  uint32_t known;  // the bits of the limit found so far
  uint32_t limit;  // key of the first candidate that does not fit
  int everything_fits;
};
static_assert(sizeof(Progress) <= kSelectProgressWords * sizeof(Word));

struct Workspace {
  Word* histograms;  // [3][kBuckets]
  Progress* progress;
  Word* best;  // [segments]: key << 32 | ~(index in the segment); 0: none
  Word* ties;  // [chunks]: weights of the ties in each chunk
};

struct Candidates {
  Selection selection;
  const float* scores;
  uint8_t* alive;

  __device__ bool contain(int64_t cell) const {
    return selection == Selection::keep ? alive[cell] != 0 : alive[cell] == 0 && scores[cell] > 0;
  }
  // Scores are not negative, so their bits sort in the same order. The best cell of a segment ranks before all others.
  __device__ uint32_t key(int64_t cell, int64_t first_of_all) const {
    return cell == first_of_all ? ~uint32_t{0} : __float_as_uint(scores[cell]);
  }
};

__device__ inline int64_t first_of_all(const Workspace& ws, const Chunk& chunk) {
  const Word best = ws.best[chunk.segment];
  return best == 0 ? -1 : chunk.first_of_segment + static_cast<uint32_t>(~best);
}

// Clears all words, except the one at `except`, which becomes `value`.
__global__ void clear_kernel(int64_t words, Word* all, const Word* except, Word value) {
  for_each_element(words, [&](int64_t i) { all[i] = all + i == except ? value : 0; });
}

__global__ __launch_bounds__(kThreads) void best_kernel(Batch batch, Candidates candidates, Workspace ws) {
  const Chunk chunk(batch);
  Word best = 0;
  for (int64_t cell = chunk.begin + threadIdx.x; cell < chunk.end; cell += kThreads) {
    if (!candidates.contain(cell)) continue;
    const auto index = static_cast<uint32_t>(cell - chunk.first_of_segment);
    const Word own = Word{__float_as_uint(candidates.scores[cell])} << 32 | uint32_t{~index};
    best = own > best ? own : best;
  }
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    const Word other = __shfl_xor_sync(kAllLanes, best, offset);
    best = other > best ? other : best;
  }
  if (lane_id() == 0) atomicMax(&ws.best[chunk.segment], best);
}

// histogram[b]: the weights of the candidates whose key matches the bits known so far and has b as its next bits.
__global__ __launch_bounds__(kThreads) void histogram_kernel(Batch batch, Candidates candidates, Workspace ws,
                                                             int shift, int buckets, Word* histogram) {
  GPU_SHARED(cells, unsigned[kBuckets]);
  const Progress progress = *ws.progress;
  if (progress.everything_fits) return;
  for (int b = static_cast<int>(threadIdx.x); b < buckets; b += kThreads) cells[b] = 0;
  __syncthreads();
  const Chunk chunk(batch);
  const int64_t first = first_of_all(ws, chunk);
  for (int64_t cell = chunk.begin + threadIdx.x; cell < chunk.end; cell += kThreads) {
    if (!candidates.contain(cell)) continue;
    const uint32_t key = candidates.key(cell, first);
    if ((key & progress.known) == progress.limit) atomicAdd(&cells[key >> shift & (buckets - 1u)], 1u);
  }
  __syncthreads();
  for (int b = static_cast<int>(threadIdx.x); b < buckets; b += kThreads) {
    if (cells[b] != 0) atomicAdd(&histogram[b], cells[b] * chunk.weights_per_cell);
  }
}

// One block: walks down from the highest bucket to the first that does not fit.
__global__ __launch_bounds__(kThreads) void choose_bucket_kernel(int shift, int buckets, const Word* histogram,
                                                                 Progress* progress) {
  GPU_SHARED(shared, Word[kWarps]);
  if (progress->everything_fits) return;
  const int per_thread = buckets / kThreads, highest = buckets - 1 - static_cast<int>(threadIdx.x) * per_thread;
  Word left = progress->left, own = 0, total;
  for (int i = 0; i < per_thread; ++i) own += histogram[highest - i];
  const Word higher = block_exclusive_sum(own, shared, total);
  if (threadIdx.x == 0 && total <= left) progress->everything_fits = 1;
  if (higher > left || higher + own <= left) return;
  left -= higher;
  int bucket = highest;
  while (histogram[bucket] <= left) left -= histogram[bucket--];
  progress->left = left;
  progress->limit |= static_cast<uint32_t>(bucket) << shift;
  progress->known |= (buckets - 1u) << shift;
}

// Calls f(cell, key) for the candidates among the thread's own cells: neighbouring cells, in the order of threads.
template <class F>
__device__ inline void for_own_candidates(const Chunk& chunk, const Candidates& candidates, int64_t first, const F& f) {
  const int64_t begin = chunk.begin + static_cast<int64_t>(threadIdx.x) * kCellsPerThread;
  const int64_t end = min(chunk.end, begin + kCellsPerThread);
  for (int64_t cell = begin; cell < end; ++cell) {
    if (candidates.contain(cell)) f(cell, candidates.key(cell, first));
  }
}

__device__ inline Word own_ties(const Chunk& chunk, const Candidates& candidates, int64_t first, uint32_t limit) {
  Word weights = 0;
  for_own_candidates(chunk, candidates, first,
                     [&](int64_t, uint32_t key) { weights += key == limit ? chunk.weights_per_cell : 0; });
  return weights;
}

__global__ __launch_bounds__(kThreads) void ties_kernel(Batch batch, Candidates candidates, Workspace ws) {
  GPU_SHARED(shared, Word[kWarps]);
  if (ws.progress->everything_fits) return;
  const Chunk chunk(batch);
  Word total;
  block_exclusive_sum(own_ties(chunk, candidates, first_of_all(ws, chunk), ws.progress->limit), shared, total);
  if (threadIdx.x == 0) ws.ties[chunk.number] = total;
}

__global__ __launch_bounds__(kThreads) void apply_kernel(Batch batch, Candidates candidates, Workspace ws) {
  GPU_SHARED(shared, Word[kWarps]);
  const Chunk chunk(batch);
  const Progress progress = *ws.progress;
  const int64_t first = first_of_all(ws, chunk);
  Word spent = 0;
  if (!progress.everything_fits) {
    Word earlier = 0, earlier_chunks, total;
    for (int c = static_cast<int>(threadIdx.x); c < chunk.number; c += kThreads) earlier += ws.ties[c];
    block_exclusive_sum(earlier, shared, earlier_chunks);
    spent = earlier_chunks + block_exclusive_sum(own_ties(chunk, candidates, first, progress.limit), shared, total);
  }
  for_own_candidates(chunk, candidates, first, [&](int64_t cell, uint32_t key) {
    bool chosen = progress.everything_fits || key > progress.limit;
    if (!chosen && key == progress.limit) chosen = (spent += chunk.weights_per_cell) <= progress.left;
    candidates.alive[cell] = chosen ? 1 : 0;
  });
}

__global__ __launch_bounds__(kThreads) void count_kernel(Batch batch, const uint8_t* alive, Word* counts) {
  const Chunk chunk(batch);
  unsigned count = 0;
  for (int64_t cell = chunk.begin + threadIdx.x; cell < chunk.end; cell += kThreads) count += alive[cell];
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) count += __shfl_xor_sync(kAllLanes, count, offset);
  if (lane_id() == 0 && count != 0) atomicAdd(&counts[chunk.segment], Word{count});
}

// Launches the kernel over all chunks, in as many launches as the segments need.
template <class... P, class... A>
void launch_over(Context& ctx, std::span<const CellSegment> segments, void (*kernel)(P...), A... args) {
  Batch batch{};
  for (size_t first = 0; first < segments.size(); first += static_cast<size_t>(batch.count)) {
    const size_t left = segments.size() - first;
    batch.count = left < kSegmentsPerLaunch ? static_cast<int>(left) : kSegmentsPerLaunch;
    batch.segments_before = static_cast<int>(first);
    int chunks = 0;
    for (int s = 0; s < batch.count; ++s) {
      batch.segments[s] = segments[first + static_cast<size_t>(s)];
      batch.first_chunk[s] = chunks;
      chunks += static_cast<int>(ceil_div(batch.segments[s].cells, kSelectChunk));
    }
    batch.first_chunk[batch.count] = chunks;
    if (chunks > 0) launch(ctx, {.grid = static_cast<uint32_t>(chunks), .block = kThreads}, kernel, batch, args...);
    batch.chunks_before += chunks;
  }
}

}  // namespace

void select_cells(Context& ctx, Selection selection, std::span<const CellSegment> segments, int64_t budget,
                  const Tensor& scores, Tensor& workspace, Tensor& alive) {
  Word* words = reinterpret_cast<Word*>(workspace.data<uint8_t>());
  Word* after_histograms = words + 3 * kBuckets;
  const Workspace ws{.histograms = words,
                     .progress = reinterpret_cast<Progress*>(after_histograms),
                     .best = after_histograms + kSelectProgressWords,
                     .ties = after_histograms + kSelectProgressWords + segments.size()};
  const Candidates candidates{selection, scores.data<float>(), alive.data<uint8_t>()};
  const auto size = static_cast<int64_t>(select_workspace(segments) / sizeof(Word));
  launch(ctx, elementwise(size), clear_kernel, size, words, &ws.progress->left, static_cast<Word>(budget));
  if (selection == Selection::keep) launch_over(ctx, segments, best_kernel, candidates, ws);
  Word* histogram = ws.histograms;
  for (const auto& [shift, bits] : {std::pair{21, 11}, {10, 11}, {0, 10}}) {
    launch_over(ctx, segments, histogram_kernel, candidates, ws, shift, 1 << bits, histogram);
    launch(ctx, {.grid = 1, .block = kThreads}, choose_bucket_kernel, shift, 1 << bits, histogram, ws.progress);
    histogram += kBuckets;
  }
  launch_over(ctx, segments, ties_kernel, candidates, ws);
  launch_over(ctx, segments, apply_kernel, candidates, ws);
}

void count_alive(Context& ctx, std::span<const CellSegment> segments, const Tensor& alive, Tensor& counts) {
  Word* count = reinterpret_cast<Word*>(counts.data<uint64_t>());
  launch(ctx, elementwise(counts.elements()), clear_kernel, counts.elements(), count, nullptr, Word{0});
  launch_over(ctx, segments, count_kernel, alive.data<uint8_t>(), count);
}

}  // namespace poise::POISE_GPU
