// How a weight is divided into the cells of a mask. A weight is a matrix [out, taps, in], `in` fastest; a cell is a
// block of cell_out rows by cell_in neighbouring inputs of one tap, or of all taps. Cells are numbered
//   (out / cell_out, tap, in / cell_in)   or, with all_taps,   (out / cell_out, in / cell_in),   last one fastest.
// cell_out divides out and cell_in divides in. Plain data, passed by value: masks change only outside captured graphs.
#pragma once
#include <cstdint>

#include "kernels/core/host_device.h"

namespace poise {

struct CellGrid {
  int64_t out = 1, taps = 1, in = 1;
  int64_t cell_out = 1, cell_in = 1;
  bool all_taps = false;

  POISE_HOST_DEVICE int64_t out_blocks() const { return out / cell_out; }
  POISE_HOST_DEVICE int64_t in_blocks() const { return in / cell_in; }
  POISE_HOST_DEVICE int64_t tap_blocks() const { return all_taps ? 1 : taps; }
  POISE_HOST_DEVICE int64_t cells() const { return out_blocks() * tap_blocks() * in_blocks(); }
  POISE_HOST_DEVICE int64_t weights_per_cell() const { return cell_out * cell_in * (all_taps ? taps : 1); }
  POISE_HOST_DEVICE int64_t weights() const { return out * taps * in; }
};

// The cells of one layer, in tensors that hold the cells of all layers of a network one after another.
struct CellSegment {
  int64_t first = 0, cells = 0;
  int64_t weights_per_cell = 1;
};

}  // namespace poise
