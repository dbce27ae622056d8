// Exact selection among cells: which ones stay, which ones come alive.
//
// The candidates (alive cells for `keep`; for `grow` dead ones whose score is above zero) are ranked by score,
// highest first, equal scores by index. For `keep` the best cell of each segment comes before all others: a layer never
// dies as a whole (nothing would pass through it, and its spectral norm would be 0). The longest prefix of that ranking
// whose weights together fit into `budget` is chosen. Where all cells have the same size these are exactly floor(budget
// / size) cells, if there are as many candidates. Nothing here depends on the order of summation, so every device and
// number of threads chooses the same.
#pragma once
#include <span>

#include "kernels/core/context.h"
#include "kernels/sparse/cells.h"

namespace poise {

enum class Selection : uint8_t {
  keep,  // alive cells that are not chosen die
  grow,  // dead cells that are chosen come alive
};

// `segments`: ascending, where to look in scores f32 and alive u8 (1 or 0), both [cells of the network]. `budget` in
// weights. Changes `alive` inside the segments only.
using SelectCells = void(Context&, Selection, std::span<const CellSegment>, int64_t budget, const Tensor& scores,
                         Tensor& alive);
// counts[i] = alive cells in segment i.   alive u8 [cells of the network], counts u64 [segments].
using CountAlive = void(Context&, std::span<const CellSegment>, const Tensor& alive, Tensor& counts);

namespace cpu {
SelectCells select_cells;
CountAlive count_alive;
}  // namespace cpu
}  // namespace poise
