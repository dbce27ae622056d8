// Exact selection among cells: which ones stay alive, and which ones come alive.
//
// The candidates (alive cells for `keep`; for `grow` dead ones whose score is above zero) are ranked by score, highest
// first, equal scores by index. For `keep` the best cell of each segment ranks before all others, so that a layer never
// dies as a whole (nothing would pass through it, and its spectral norm would be 0). The longest prefix of that ranking
// whose weights together fit into `budget` is chosen. If all cells have the same size, these are exactly floor(budget /
// size) cells, or all candidates if there are fewer. The result does not depend on the order of summation, so every
// device and every number of threads makes the same choice.
#pragma once
#include <span>

#include "kernels/core/context.h"
#include "kernels/core/integer.h"
#include "kernels/sparse/masks/cells.h"

namespace poise {

enum class Selection : uint8_t {
  keep,  // alive cells that are not chosen die
  grow,  // dead cells that are chosen come alive
};

// Bytes of `workspace`: the histograms of three passes, their progress, and a word per segment and per chunk of cells.
constexpr int64_t kSelectBuckets = 2048, kSelectChunk = 2048, kSelectProgressWords = 3;
inline size_t select_workspace(std::span<const CellSegment> segments) {
  int64_t words = 3 * kSelectBuckets + kSelectProgressWords + static_cast<int64_t>(segments.size());
  for (const CellSegment& s : segments) words += ceil_div(s.cells, kSelectChunk);
  return static_cast<size_t>(words) * sizeof(uint64_t);
}

// `segments`: ascending ranges of scores f32 and alive u8 (1 or 0), both [cells of the network]; each segment has fewer
// than 2^32 - 1 cells. `budget` is in weights. Changes `alive` only inside the segments.
using SelectCells = void(Context&, Selection, std::span<const CellSegment>, int64_t budget, const Tensor& scores,
                         Tensor& workspace, Tensor& alive);
// counts[i] = alive cells in segment i.   alive u8 [cells of the network], counts u64 [segments].
using CountAlive = void(Context&, std::span<const CellSegment>, const Tensor& alive, Tensor& counts);

}  // namespace poise
