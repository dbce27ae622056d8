// One pass of a block-sparse layer on the CPU (block_conv2d.cpp): how its work is cut, its workspace, and its alive
// blocks in the order and layout that the inner loops read.
#pragma once
#include <algorithm>
#include <type_traits>

#include "kernels/core/dispatch.h"
#include "kernels/core/simd.h"
#include "kernels/core/workspace_layout.h"
#include "kernels/dense/conv2d/upsample_fold.h"
#include "kernels/sparse/block/block_conv2d.h"
#include "kernels/sparse/block/packed_image.h"

namespace poise::cpu {

constexpr int64_t kBlockLanes = 8;  // enough for a handful of cores

enum class BlockMethod : uint8_t { plain, enlarge_output, four_parities };

// A block of 16x16 weights, summed over taps, as it takes part in a convolution of the small image:
//   y[2p+a, 2q+b] += w x[p+dr, q+dc]       (parity = 2a+b; y[p,q] where nothing is enlarged)
struct Block {
  int32_t out, in;
  int8_t parity, dr, dc;
  uint16_t taps;  // bit r*kw+s
};

// One pass of one layer.
struct BlockJob {
  Conv2dGeometry g;
  BlockMethod method;
  Regions regions;
  int64_t blocks, out_blocks, in_blocks, lanes, scale;
  int planes;  // parities

  BlockJob(const Conv2dGeometry& geometry, const BlockIndex& index)
      : g(geometry),
        method(geometry.upsample == 1 ? BlockMethod::plain
               : geometry.kh == 1     ? BlockMethod::enlarge_output
                                      : BlockMethod::four_parities),
        regions(g.n, g.h, g.w, /*halo=*/geometry.upsample == 2 || geometry.kh == 3, /*whole_blocks=*/pools()) {
    require(block_conv2d_serves(g, kBlock) && index.block == kBlock,
            "unsupported convolution: the execution switch does not choose this path for it");
    blocks = method == BlockMethod::four_parities ? index.alive_in_parities : index.alive;
    out_blocks = g.c_out / kBlock;
    in_blocks = g.c_in / kBlock;
    lanes = std::min(kBlockLanes, regions.count());
    scale = g.upsample;
    planes = method == BlockMethod::four_parities ? kParities : 1;
  }

  bool neighbours() const { return g.kh == 3; }
  bool pools() const { return g.pool == 2; }
  double macs() const { return static_cast<double>(blocks) * kBlockWeights * static_cast<double>(g.n * g.h * g.w); }
  int64_t lane_begin(int64_t lane) const { return lane * regions.count() / lanes; }
  int64_t packed_x() const { return in_blocks * regions.packed_block(); }  // elements of a region
  int64_t packed_dy() const { return planes * out_blocks * regions.packed_block(); }
  int64_t dense_dy() const { return planes * out_blocks * regions.dense_block(); }
  // Whether products take pairs of bf16. Not where outputs repeat, because gradients of the repeats are first added up.
  bool pairs(DType dtype) const {
    return dtype == DType::bf16 && method != BlockMethod::enlarge_output && pair_kernels();
  }
  Placement x_placement() const { return {1, 0, 0, g.c_in}; }
  Placement y_placement(int parity) const { return {scale, parity / 2, parity % 2, g.c_out, pools()}; }

  // Packs dy of a region, parity by parity. Where outputs are repeats of each other, their gradients are added up.
  template <class From, class To>
  void pack_dy(const Region& region, const PackedLayout& layout, const From* dy, To* packed) const {
    const int64_t plane = out_blocks * layout.block;
    const bool repeats = method == BlockMethod::enlarge_output;
    for (int parity = 0; parity < (repeats ? kParities : planes); ++parity) {
      pack_region(region, y_placement(parity), layout, layout.frame == 1 && neighbours(), repeats && parity > 0, dy,
                  packed + (repeats ? 0 : parity * plane));
    }
  }
};

// Pixels that a weight gradient packs side by side: 2 (a pair) if products take bf16, else 1.
template <class P>
constexpr int64_t kPixels = std::is_same_v<P, bf16> ? 2 : 1;

// P: the type of the factors of products.
template <class P>
struct BlockWorkspace {
  Block* blocks;     // [blocks], grouped by `key`
  int32_t* offsets;  // [keys + 1]
  BlockTerm* terms;  // [blocks]
  P* weights;        // [blocks][16][16]
  float* sums;       // weight gradient: [lanes][blocks][16][16]
  float* bias;       // weight gradient: [lanes][C_out]
  P* images;         // [lanes][image]
  int64_t image;     // elements
  float* tiles;      // sums of a tile (activations in bf16) or of a region (pooling): [lanes][tile]
  int64_t tile;      // floats
  // What becomes moments of y, or sums of dx, where requested: first per lane for its current region, then per region.
  float* region_sums;    // [lanes][3][channels]
  double* part_moments;  // [regions][2][channels]
  int64_t* part_rows;    // [regions]
  size_t bytes;

  BlockWorkspace(const BlockJob& job, DType dtype, Pass pass, void* memory) {
    WorkspaceLayout layout(memory);
    const bool gradient = pass == Pass::backward_weight;
    const int64_t keys = std::max(job.planes * job.out_blocks, job.in_blocks);
    blocks = layout.carve<Block>(job.blocks);
    offsets = layout.carve<int32_t>(keys + 1);
    terms = layout.carve<BlockTerm>(job.blocks);
    weights = layout.carve<P>(gradient ? 0 : job.blocks * kBlockWeights);
    sums = layout.carve<float>(gradient ? job.lanes * job.blocks * kBlockWeights : 0);
    bias = layout.carve<float>(gradient ? job.lanes * job.g.c_out : 0);
    image = pass == Pass::forward          ? job.packed_x()
            : pass == Pass::backward_input ? job.packed_dy()
                                           : kPixels<P> * job.packed_x() + job.dense_dy();
    images = layout.carve<P>(job.lanes * image);
    tile = dtype == DType::bf16 && !gradient ? kTilePixels * std::max(job.g.c_in, job.g.c_out) : 0;
    if (job.pools() && pass == Pass::forward) tile = job.regions.rows * job.regions.columns() * job.g.c_out;
    tiles = layout.carve<float>(job.lanes * tile);
    const int64_t channels = pass == Pass::forward ? job.g.c_out : job.g.c_in;
    const int64_t parts = gradient || job.pools() ? 0 : job.regions.count();
    region_sums = layout.carve<float>(parts > 0 ? job.lanes * 3 * channels : 0);
    part_moments = layout.carve<double>(parts * 2 * channels);
    part_rows = layout.carve<int64_t>(parts);
    bytes = layout.bytes();
  }
};

// Calls f(block) for every block of the job, row by row.
template <class F>
void for_each_block(const BlockJob& job, const BlockIndex& index, const F& f) {
  const int32_t* row_offsets = index.row_offsets.data<int32_t>();
  const int32_t* col_of_block = index.col_of_block.data<int32_t>();
  const int pad = job.g.kh / 2;
  for (int32_t row = 0; row < index.out_blocks; ++row) {
    const int32_t* begin = col_of_block + row_offsets[row];
    const int32_t* end = col_of_block + row_offsets[row + 1];
    if (job.method != BlockMethod::four_parities) {
      for (const int32_t* col = begin; col != end; ++col) {
        const int tap = static_cast<int>(*col / index.in_blocks);
        f(Block{.out = row,
                .in = static_cast<int32_t>(*col % index.in_blocks),
                .parity = 0,
                .dr = static_cast<int8_t>(tap / job.g.kw - pad),
                .dc = static_cast<int8_t>(tap % job.g.kw - pad),
                .taps = static_cast<uint16_t>(1u << tap)});
      }
      continue;
    }
    // Columns are ordered by tap: one cursor per tap walks the input blocks.
    const int32_t* cursor[9];
    for (int tap = 0; tap < 9; ++tap) {
      cursor[tap] = std::lower_bound(begin, end, static_cast<int32_t>(tap * index.in_blocks));
    }
    for (int32_t in = 0; in < index.in_blocks; ++in) {
      unsigned alive = 0;
      for (int tap = 0; tap < 9; ++tap) {
        if (cursor[tap] == end || *cursor[tap] != tap * index.in_blocks + in) continue;
        alive |= 1u << tap;
        ++cursor[tap];
      }
      if (!alive) continue;
      for (int i = 0; i < kFoldedPositions; ++i) {
        const FoldedPosition at = folded_position(i);
        const auto taps = static_cast<uint16_t>(at.taps & alive);
        if (taps) f(Block{.out = row, .in = in, .parity = at.parity, .dr = at.dr, .dc = at.dc, .taps = taps});
      }
    }
  }
}

// Groups the blocks by key(block) in 0..keys-1; each group keeps the order of for_each_block.
template <class P, class Key>
void sort_blocks(const BlockJob& job, const BlockIndex& index, int64_t keys, const Key& key, BlockWorkspace<P>& ws) {
  std::fill(ws.offsets, ws.offsets + keys + 1, 0);
  for_each_block(job, index, [&](const Block& b) { ++ws.offsets[key(b) + 1]; });
  for (int64_t k = 0; k < keys; ++k) ws.offsets[k + 1] += ws.offsets[k];
  for_each_block(job, index, [&](const Block& b) { ws.blocks[ws.offsets[key(b)]++] = b; });
  for (int64_t k = keys; k > 0; --k) ws.offsets[k] = ws.offsets[k - 1];
  ws.offsets[0] = 0;
}

// ws.weights[k] = block k, summed over its taps: [out][in], or [in][out] if `transposed`; bf16: rows in pairs.
template <class T, class P>
void pack_weights(const BlockJob& job, const T* w, bool transposed, BlockWorkspace<P>& ws) {
  const int64_t c_in = job.g.c_in, row = job.g.kh * job.g.kw * c_in;
  constexpr int64_t kGrain = 64;
  simd_chunks(job.blocks, kGrain, [=, &ws](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      const Block& b = ws.blocks[k];
      alignas(64) float sum[kBlock][kBlock] = {};
      for (int tap = 0; tap < 9; ++tap) {
        if (!(b.taps >> tap & 1)) continue;
        const T* from = w + b.out * kBlock * row + tap * c_in + b.in * kBlock;
        for (int o = 0; o < kBlock; ++o) {
          for (int i = 0; i < kBlock; ++i) sum[o][i] += to_float(from[o * row + i]);
        }
      }
      P* to = ws.weights + k * kBlockWeights;
      for (int o = 0; o < kBlock; ++o) {
        for (int i = 0; i < kBlock; ++i) {
          const int from = transposed ? i : o, lane = transposed ? o : i;
          const int at = std::is_same_v<P, bf16> ? (from / 2 * kBlock + lane) * 2 + from % 2 : from * kBlock + lane;
          to[at] = stored<P>(sum[o][i]);
        }
      }
    }
  });
}

}  // namespace poise::cpu
