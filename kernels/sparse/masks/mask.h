// A mask has one byte, 1 alive and 0 dead, per run of neighbouring weights that live and die together, in the layout of
// the weight. Adam multiplies by it in its own pass (train/adam.h). This kernel applies a new choice of cells to the
// mask and to everything that belongs to the weights:
//
//   dead                      w = 0, ema = 0
//   alive, and was dead       w = 0 already; moments by policy:
//                               seed   m = 0, v = g^2
//                               zero   m = v = 0
//                               keep   untouched
//   alive, and was alive      untouched
//
// Why `seed`: with v = 0 and the bias correction of an old clock, the first step would be lr / sqrt(1 - beta2), 3 to 30
// times too long. `keep` is for masked-dense training, whose moments follow the dense gradient of dead weights.
#pragma once
#include <numeric>

#include "kernels/core/context.h"
#include "kernels/core/memory.h"
#include "kernels/sparse/masks/cells.h"

namespace poise {

// Weights per byte: the most that divide both a row of a cell and a cache line, at which every tensor of a slab begins.
constexpr int64_t mask_run(int64_t cell_in, DType dtype) {
  return std::gcd(cell_in, static_cast<int64_t>(kAlignment / size_of(dtype)));
}

// Weights per byte of `mask`, the mask of `weights`.
inline int64_t run_of(const Tensor& mask, const Tensor& weights) {
  const int64_t run = weights.elements() / mask.elements();
  require(run > 0 && kLongestRun % run == 0, "a mask byte covers 1, 2, 4, 8 or 16 weights");
  return run;
}

enum class MomentPolicy : uint8_t { seed, keep, zero };

// One layer. All tensors except the first two have grid.weights() elements.
struct MaskOperands {
  Tensor alive;        // u8 [grid.cells()]: the new choice
  Tensor mask;         // u8 [grid.weights() / run], where run divides cell_in: updated
  Tensor grad;         // the dense gradient, read only by `seed`
  Tensor value, m, v;  // updated
  Tensor ema;          // updated; may be empty
};
using ChangeMask = void(Context&, MomentPolicy, const CellGrid&, const MaskOperands&);

}  // namespace poise
