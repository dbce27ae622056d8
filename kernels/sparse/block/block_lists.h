// The lists that the block-sparse kernels walk, built on the device from a BlockIndex in memory of fixed capacity. No
// launch parameter depends on which blocks are alive, so captured graphs outlive a mask update. Lists are kept until
// the next update (KeptLists); weights are packed in each pass.
//
// A position of a pair (output block, input block) is one of the blocks of weights that connect the two. It is a tap;
// or, for a 3x3 convolution of an enlarged image, one of the four taps of one of the four 2x2 convolutions
// (upsample_fold.h), which is a sum of taps of the weight, alive if one of them is. It shifts x by (dr, dc).
#pragma once
#include "kernels/core/workspace_layout.h"
#include "kernels/gpu/column_sums.h"
#include "kernels/sparse/block/block_pixels.cuh"

namespace poise::POISE_GPU {

struct Position {
  int8_t parity = 0, dr = 0, dc = 0;
  uint16_t taps = 0;  // bit r*kw + s
};
struct Positions {
  Position at[16];
  int count = 0, parities = 1;
  POISE_HOST_DEVICE int per_parity() const { return parities == 1 ? count : count / parities; }
};

// The BlockIndex, in device memory.
struct AliveBlocks {
  const int32_t *row_offsets, *col_of_block;
  int out_blocks, in_blocks, taps;

  // Bit t says whether tap t of this pair is alive.
  __device__ unsigned taps_of(int out, int in) const {
    unsigned alive = 0;
    int begin = row_offsets[out];
    const int row_end = row_offsets[out + 1];
    for (int tap = 0; tap < taps; ++tap) {
      const int column = tap * in_blocks + in;
      int end = row_end;
      while (begin < end) {
        const int middle = (begin + end) / 2;
        (col_of_block[middle] < column ? begin : end) = col_of_block[middle] < column ? middle + 1 : middle;
      }
      if (begin < row_end && col_of_block[begin] == column) alive |= 1u << tap;
    }
    return alive;
  }
};

// --- Forward and input gradient: to[key] = sum over the key's terms of from[block, shifted] * weights ---

struct Term {
  int32_t offset;  // place of its block and tap in the source in shared memory, in units of 16 bytes
  uint16_t other;  // block of the source's channels
  uint16_t taps;   // bits of the taps whose weights are summed
};

// A key is a block of the target. The source is cut into `chunks` parts, which take turns in shared memory.
struct TermLists {
  int keys, capacity, chunks;  // capacity: terms per key
  Term* terms;                 // [keys][capacity], sorted by block of the source
  int32_t* starts;             // [keys][chunks + 1]: where the terms of a chunk start; the last is the number of terms
  int32_t* order;              // [keys]: the keys, longest lists first
  void* weights;               // [keys][capacity][plane][16 channels of the target][16 bytes of the source's]

  void carve(WorkspaceLayout& layout) {  // everything except `weights`
    terms = layout.carve<Term>(static_cast<size_t>(keys) * static_cast<size_t>(capacity));
    starts = layout.carve<int32_t>(static_cast<size_t>(keys * (chunks + 1)));
    order = layout.carve<int32_t>(static_cast<size_t>(keys));
  }
};

struct BuildTerms {
  AliveBlocks alive;
  Positions positions;
  bool transposed;   // keys are input blocks, and the weights transposed
  int chunk_blocks;  // of the source
  int plane, pitch;  // of the source in shared memory, in units of 16 bytes: per block, per row of pixels
  TermLists lists;
  const void* weight;  // [C_out][taps][C_in]
  bool round_to_tf32;
};
void list_terms(Context& ctx, const BuildTerms& b);  // everything except `order` and `weights`
template <class T>
void pack_terms(Context& ctx, const BuildTerms& b);

// --- Weight gradient: dw[term] = sum over pixels of dy[block] x[block, shifted] ---

// Terms are grouped into work items, each for one thread block with its sums in registers. All terms of an item are in
// one panel of the weight, so that few blocks of dy and x serve many terms.
constexpr int kPanel = 16;  // a panel's blocks of dy (output block and parity), and its blocks of x
constexpr int kItemTerms = 64;

struct SddTerm {
  uint8_t dy_block, x_block;  // in the panel
  int16_t shift;              // slots of x
};

struct WorkItems {
  int panels_out, panels_in, capacity;  // capacity: terms per panel
  int pairs, positions;                 // pairs of blocks; positions per pair
  SddTerm* terms;                       // [panels][capacity], sorted by block of x, then of dy
  int32_t* counts;                      // [panels]
  int32_t* first_item;                  // [panels + 1]
  int32_t* panel_of_item;               // [items_capacity]
  int32_t* place;                       // [out_blocks][in_blocks][positions]: index in the panel's list, or -1
  uint16_t* alive;                      // [out_blocks][in_blocks]: bits of the alive taps

  POISE_HOST_DEVICE int panels() const { return panels_out * panels_in; }
  POISE_HOST_DEVICE int items_capacity() const { return panels() * ceil_div(capacity, kItemTerms); }
  void carve(WorkspaceLayout& layout) {
    terms = layout.carve<SddTerm>(static_cast<size_t>(panels()) * static_cast<size_t>(capacity));
    counts = layout.carve<int32_t>(static_cast<size_t>(panels()));
    first_item = layout.carve<int32_t>(static_cast<size_t>(panels() + 1));
    panel_of_item = layout.carve<int32_t>(static_cast<size_t>(items_capacity()));
    place = layout.carve<int32_t>(static_cast<size_t>(pairs) * static_cast<size_t>(positions));
    alive = layout.carve<uint16_t>(static_cast<size_t>(pairs));
  }
};

struct BuildItems {
  AliveBlocks alive;
  Positions positions;
  int pitch;  // slots of a row of x
  WorkItems lists;
};
void list_items(Context& ctx, const BuildItems& b);

// The tiles of pixels of an item are split into as many parts as there are workers per item.
struct PixelSplits {
  int workers, most;  // most: limit of parts, at most the number of tiles
  __device__ int count(int items) const { return items == 0 ? 0 : max(1, min(most, workers / items)); }
};

// dweight = the sum, in a fixed order, of the parts of every position that a tap contributes to; zero where dead.
// dbias = the sums of `bias`.
struct FinishItems {
  Positions positions;
  WorkItems lists;
  PixelSplits splits;
  int out_blocks, in_blocks, taps;
  const float* partial;  // [items][splits][kItemTerms][16][16]
  float* dweight;
  ColumnSums bias;
  float* dbias;  // or null
};
void finish_items(Context& ctx, const FinishItems& f);

}  // namespace poise::POISE_GPU
