// Which weights are alive, one by one, as weights_conv2d.h executes them on the CPU. Built when a mask changes, for one
// kind of convolution (weight_terms.h) at any batch and image size; values are gathered by each pass.
//
// The weight is a sparse matrix from planes of x to planes of y, phases and all. Two lists hold it, one by its rows
// (forward, weight gradient) and one by its columns (input gradient; of layers that enlarge the weight gradient too).
// Planes that are read are taken in chunks whose neighbourhoods of a tile stay in the first-level cache together (larger
// ones where few weights are alive), so a list is ordered by chunk, then row, then plane.
#pragma once
#include <vector>

#include "kernels/core/context.h"
#include "kernels/sparse/weights/weight_terms.h"

namespace poise {

// A "row" is a plane that is written, or a run of `outputs` of them that are alive together; row = phase * (channels of
// that side / outputs) + channel / outputs. An entry is an alive term of a row: code = term * channels of the read side +
// channel there.
struct WeightList {
  int64_t outputs = 1;
  int64_t rows = 0, chunk = 1, chunks = 0;
  int64_t most_chunk = 1;  // at any density
  int64_t entries = 0;
  int64_t quads = 0;                 // weight_tiles.h, if gradients are accumulated by this list
  std::vector<int32_t> begin;        // [chunks * rows + 1]: of each chunk's rows
  std::vector<int32_t> quad_of_row;  // [chunks * rows]
  std::vector<uint16_t> codes;       // [entries]
};

// Of `cell_out` neighbouring outputs that live and die together, how many share an entry: 1, 2 or 4.
constexpr int64_t outputs_of_entry(int64_t cell_out) { return cell_out % 4 == 0 ? 4 : cell_out % 2 == 0 ? 2 : 1; }

struct WeightIndex {
  Conv2dGeometry kind;   // n, h and w do not matter
  int64_t cell_out = 1;  // neighbouring outputs that live and die together
  int64_t alive = 0;     // weights
  Tensor mask;           // u8, of the weight's shape but for the last extent, which is taken by runs; not owned
  WeightList by_output, by_input;
  int64_t full_entries_by_output = 0, full_entries_by_input = 0;

  // Every weight alive, without lists: what a plan knows.
  static WeightIndex full(const Conv2dGeometry& kind, int64_t cell_out);
};

// Fills the lists of `index` (from full()) for `mask`, which stays where it is.
using BuildWeightIndex = void(Context&, const Tensor& mask, WeightIndex& index);

}  // namespace poise
