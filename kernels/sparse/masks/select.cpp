// Selection on the CPU: a radix select. Scores are not negative, so their bits sort in the same order. Three passes of
// 11, 11 and 10 bits, from the top, find the score of the first candidate that does not fit; a last pass over the ties,
// in index order, hands out what is left of the budget.
#include "kernels/sparse/masks/select.h"

#include <bit>
#include <vector>

#include "kernels/core/parallel.h"

namespace poise::cpu {
namespace {

constexpr int64_t kGrain = 65536;  // cells per task

struct Chunk {
  int64_t begin, end, weights_per_cell;
  size_t segment;
  int64_t first_of_all = -1;  // the cell of this segment that comes before all others; -1: none does
};

std::vector<Chunk> chunks_of(std::span<const CellSegment> segments) {
  std::vector<Chunk> chunks;
  for (size_t i = 0; i < segments.size(); ++i) {
    const CellSegment& s = segments[i];
    for (int64_t begin = 0; begin < s.cells; begin += kGrain) {
      chunks.push_back({s.first + begin, s.first + std::min(s.cells, begin + kGrain), s.weights_per_cell, i});
    }
  }
  return chunks;
}

struct Candidates {
  Selection selection;
  const float* scores;
  const uint8_t* alive;

  bool contain(int64_t cell) const {
    return selection == Selection::keep ? alive[cell] != 0 : alive[cell] == 0 && scores[cell] > 0;
  }
  uint32_t key(int64_t cell) const { return std::bit_cast<uint32_t>(scores[cell]); }
  uint32_t key(int64_t cell, const Chunk& chunk) const { return cell == chunk.first_of_all ? ~uint32_t{0} : key(cell); }
};

// Finds the best candidate of each segment: first within each chunk, then over the segment's chunks, in order.
void put_best_first(const Candidates& candidates, std::vector<Chunk>& chunks) {
  parallel_for(static_cast<int64_t>(chunks.size()), [&](int64_t c) {
    Chunk& chunk = chunks[static_cast<size_t>(c)];
    for (int64_t cell = chunk.begin; cell < chunk.end; ++cell) {
      if (!candidates.contain(cell)) continue;
      if (chunk.first_of_all < 0 || candidates.key(cell) > candidates.key(chunk.first_of_all))
        chunk.first_of_all = cell;
    }
  });
  for (size_t first = 0, next; first < chunks.size(); first = next) {
    int64_t best = -1;
    for (next = first; next < chunks.size() && chunks[next].segment == chunks[first].segment; ++next) {
      const int64_t cell = chunks[next].first_of_all;
      if (cell >= 0 && (best < 0 || candidates.key(cell) > candidates.key(best))) best = cell;
    }
    for (size_t c = first; c < next; ++c) chunks[c].first_of_all = best;
  }
}

// The candidates' weights, by the next `bits` bits of the key. Only keys that equal `prefix` in the `known` bits count.
std::vector<int64_t> histogram(const std::vector<Chunk>& chunks, const Candidates& candidates, uint32_t known,
                               uint32_t prefix, int shift, int bits) {
  const int64_t buckets = int64_t{1} << bits;
  std::vector<int64_t> partial(chunks.size() * static_cast<size_t>(buckets));
  parallel_for(static_cast<int64_t>(chunks.size()), [&](int64_t c) {
    const Chunk chunk = chunks[static_cast<size_t>(c)];
    int64_t* count = &partial[static_cast<size_t>(c * buckets)];
    for (int64_t cell = chunk.begin; cell < chunk.end; ++cell) {
      if (!candidates.contain(cell)) continue;
      const uint32_t key = candidates.key(cell, chunk);
      if ((key & known) == prefix) count[(key >> shift) & (buckets - 1)] += chunk.weights_per_cell;
    }
  });
  std::vector<int64_t> sum(static_cast<size_t>(buckets));
  for (size_t i = 0; i < partial.size(); ++i) sum[i % static_cast<size_t>(buckets)] += partial[i];
  return sum;
}

}  // namespace

void select_cells(Context&, Selection selection, std::span<const CellSegment> segments, int64_t budget,
                  const Tensor& scores, Tensor&, Tensor& alive) {
  std::vector<Chunk> chunks = chunks_of(segments);
  uint8_t* state = alive.data<uint8_t>();
  const Candidates candidates{selection, scores.data<float>(), state};
  if (selection == Selection::keep) put_best_first(candidates, chunks);
  const auto tasks = static_cast<int64_t>(chunks.size());

  // `limit`: the key of the first candidate that does not fit; `left`: the budget that is left after all higher keys.
  int64_t left = budget;
  uint32_t known = 0, limit = 0;
  bool everything_fits = true;
  for (const auto& [shift, bits] : {std::pair{21, 11}, {10, 11}, {0, 10}}) {
    const std::vector<int64_t> weights = histogram(chunks, candidates, known, limit, shift, bits);
    int64_t bucket = (int64_t{1} << bits) - 1;
    while (bucket >= 0 && weights[static_cast<size_t>(bucket)] <= left) left -= weights[static_cast<size_t>(bucket--)];
    everything_fits = bucket < 0;
    if (everything_fits) break;
    limit |= static_cast<uint32_t>(bucket) << shift;
    known |= ((uint32_t{1} << bits) - 1) << shift;
  }

  // First the weights of the ties in each chunk, then their sum over all earlier chunks.
  std::vector<int64_t> before(chunks.size() + 1);
  if (!everything_fits) {
    parallel_for(tasks, [&](int64_t c) {
      const Chunk chunk = chunks[static_cast<size_t>(c)];
      int64_t ties = 0;
      for (int64_t cell = chunk.begin; cell < chunk.end; ++cell) {
        ties += candidates.contain(cell) && candidates.key(cell, chunk) == limit ? 1 : 0;
      }
      before[static_cast<size_t>(c) + 1] = ties * chunk.weights_per_cell;
    });
    for (size_t c = 1; c < before.size(); ++c) before[c] += before[c - 1];
  }
  parallel_for(tasks, [&](int64_t c) {
    const Chunk chunk = chunks[static_cast<size_t>(c)];
    int64_t spent = before[static_cast<size_t>(c)];
    for (int64_t cell = chunk.begin; cell < chunk.end; ++cell) {
      if (!candidates.contain(cell)) continue;
      const uint32_t key = candidates.key(cell, chunk);
      bool chosen = everything_fits || key > limit;
      if (!chosen && key == limit) chosen = (spent += chunk.weights_per_cell) <= left;
      state[cell] = chosen ? 1 : 0;
    }
  });
}

void count_alive(Context&, std::span<const CellSegment> segments, const Tensor& alive, Tensor& counts) {
  const uint8_t* state = alive.data<uint8_t>();
  uint64_t* count = counts.data<uint64_t>();
  parallel_for(static_cast<int64_t>(segments.size()), [=](int64_t s) {
    const CellSegment& segment = segments[static_cast<size_t>(s)];
    uint64_t sum = 0;
    for (int64_t cell = segment.first; cell < segment.first + segment.cells; ++cell) sum += state[cell];
    count[s] = sum;
  });
}

}  // namespace poise::cpu
