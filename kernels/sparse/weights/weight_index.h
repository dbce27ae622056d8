// The alive weights of a layer, listed one by one as weights_conv2d.h executes them on the CPU. Built when a mask
// changes, for one kind of convolution (weight_terms.h) at any batch and image size; each pass gathers the values.
//
// The weight is a sparse matrix from planes of x to planes of y, where every phase of a channel is a plane. Two lists
// hold it: one by rows (forward pass, weight gradient), and one by columns (input gradient; in enlarging layers also
// the weight gradient). Planes are read in chunks whose pixels around a tile stay in the L1 cache together (larger
// chunks where few weights are alive), so a list is ordered by chunk, then row, then plane.
#pragma once
#include <vector>

#include "kernels/core/context.h"
#include "kernels/sparse/weights/weight_terms.h"

namespace poise {

// A "row" is a plane that is written, or a run of `outputs` such planes whose weights are alive together; row = phase *
// (channels of that side / outputs) + channel / outputs. An entry is an alive term of a row: code = term * channels of
// the read side + channel of the read side.
struct WeightList {
  int64_t outputs = 1;
  int64_t rows = 0, chunk = 1, chunks = 0;
  int64_t most_chunk = 1;  // the largest chunk, at any density
  int64_t entries = 0;
  int64_t quads = 0;                 // of sums (weight_tiles.h), if gradients are accumulated by this list
  std::vector<int32_t> begin;        // [chunks * rows + 1]: the first entry of each row of each chunk
  std::vector<int32_t> quad_of_row;  // [chunks * rows]: the first quad of each
  std::vector<uint16_t> codes;       // [entries]
};

// How many of `cell_out` neighbouring outputs that live and die together share an entry: 1, 2 or 4.
constexpr int64_t outputs_of_entry(int64_t cell_out) { return cell_out % 4 == 0 ? 4 : cell_out % 2 == 0 ? 2 : 1; }

struct WeightIndex {
  Conv2dGeometry kind;   // n, h and w do not matter
  int64_t cell_out = 1;  // neighbouring outputs that live and die together
  int64_t alive = 0;     // weights
  Tensor mask;           // u8, of the weight's shape, except that the last extent counts runs; not owned
  WeightList by_output, by_input;
  int64_t full_entries_by_output = 0, full_entries_by_input = 0;

  // An index for a weight that is all alive: the counts that a plan needs, without lists.
  static WeightIndex full(const Conv2dGeometry& kind, int64_t cell_out);
};

// Fills the lists of `index` (from full()) for `mask`. The index refers to `mask`, which must stay where it is.
using BuildWeightIndex = void(Context&, const Tensor& mask, WeightIndex& index);

}  // namespace poise
