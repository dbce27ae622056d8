// The unit in which weights live and die. A weight is a matrix [out, taps * in] (taps = kh*kw of a convolution, 1 of a
// linear layer); a cell is `out` output channels by `in` neighbouring input channels of one filter tap, or of all taps
// at once. {1, 1} is unstructured sparsity.
//
// Cells of a layer are numbered row by row: (output block, tap, input block), with all_taps (output block, input
// block). For unstructured cells this is the index of the weight itself.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "kernels/core/shape.h"

namespace poise {

struct Cell {
  int64_t out = 1, in = 1;
  bool all_taps = false;

  bool unstructured() const { return out == 1 && in == 1 && !all_taps; }
  bool operator==(const Cell&) const = default;

  // Weights are conv [C_out,kh,kw,C_in] or linear [out,in]. cells_in() expects that the cell divides the weight.
  bool divides(const Shape& weight) const { return weight[0] % out == 0 && weight.back() % in == 0; }
  int64_t cells_in(const Shape& weight) const { return weight.elements() / weights_per_cell(weight); }
  int64_t weights_per_cell(const Shape& weight) const { return out * in * (all_taps ? taps_of(weight) : 1); }

  static int64_t taps_of(const Shape& weight) { return weight.elements() / (weight[0] * weight.back()); }
};

// "1x1", "16x16", "16x16-all-taps": output channels by input channels.
std::string to_string(const Cell& cell);
std::optional<Cell> cell_of(const std::string& text);  // nullopt unless text is of that form

}  // namespace poise
