// How tiles of the operands of conv2d_gemm.h get into shared memory. Each thread copies the same chunks of every tile,
// several rows apart; elements outside an image or a matrix become zero. next(tile) starts the copies of one tile and
// moves on to the next along k. Channels that do not fill whole chunks are copied element by element, through registers
// (FewChannels): a padded copy of an image would cost a launch and more bytes than that.
#pragma once
#include "kernels/dense/conv2d/conv2d_gemm.h"
#include "kernels/gpu/tile.cuh"

namespace poise::POISE_GPU {

// One axis of a walk in one stride phase: position in the source = position * scale + tap * step + offset.
struct AxisWalk {
  int source, taps, scale, step, offset;
  int weight_first, weight_step;               // which row of the weight a tap is
  int destination, place_scale, place_offset;  // where the result of a position goes

  __device__ AxisWalk(const Axis& a, Walk walk, int phase) {
    if (walk == Walk::outputs) {
      source = a.large, taps = a.taps, scale = a.stride, step = 1, offset = -a.pad;
      weight_first = 0, weight_step = 1;
      destination = a.small, place_scale = 1, place_offset = 0;
    } else {
      const int first = (phase + a.pad) % a.stride;
      source = a.small, taps = first < a.taps ? ceil_div(a.taps - first, a.stride) : 0;
      scale = 1, step = -1, offset = (phase + a.pad - first) / a.stride;
      weight_first = first, weight_step = a.stride;
      destination = a.large, place_scale = a.stride, place_offset = phase;
    }
  }
};

struct PlaneWalk {
  AxisWalk h, w;
  __device__ PlaneWalk(const Gather& g, int phase)
      : h(g.h, g.walk, phase / g.w.stride), w(g.w, g.walk, phase % g.w.stride) {}
  __device__ int taps() const { return h.taps * w.taps; }
  // Is this a pixel of the source?
  __device__ bool in_source(int row, int column) const {
    return static_cast<unsigned>(row) < static_cast<unsigned>(h.source) &&
           static_cast<unsigned>(column) < static_cast<unsigned>(w.source);
  }
};

struct Position {
  int image, h, w;
  __device__ Position(const Gather& g, int index) {
    image = g.per_image.divide(index);
    const int rest = index - image * static_cast<int>(g.per_image.d);
    h = g.per_row.divide(rest);
    w = rest - h * static_cast<int>(g.per_row.d);
  }
};

// A place in the sum over (tap, channel), channels fastest.
struct TapCursor {
  int channels, taps_h, taps_w, channel, tap_h, tap_w;
  __device__ TapCursor(const PlaneWalk& walk, int channels_per_tap, int k)
      : channels(channels_per_tap), taps_h(walk.h.taps), taps_w(walk.w.taps) {
    const int tap = k / channels;
    channel = k - tap * channels;
    tap_h = taps_w > 0 ? tap / taps_w : 0;
    tap_w = tap - tap_h * taps_w;
  }
  __device__ void advance(int elements) {
    channel += elements;
    while (channel >= channels) {
      channel -= channels;
      if (++tap_w >= taps_w) tap_w = 0, ++tap_h;
    }
  }
  __device__ bool inside() const { return tap_h < taps_h; }
  // Which of the weight's h.taps * w.taps rows this tap is.
  __device__ int weight_tap(const PlaneWalk& walk, int all_taps_w) const {
    return (walk.h.weight_first + tap_h * walk.h.weight_step) * all_taps_w + walk.w.weight_first +
           tap_w * walk.w.weight_step;
  }
};

// The chunks of a tile that belong to this thread: one column, kCount rows kStep apart.
template <class T, Major major, int extent, int threads>
struct ThreadChunks {
  using Layout = TileLayout<T, major, extent>;
  static constexpr int kStep = threads / Layout::kChunks, kCount = Layout::kRows / kStep;
  static_assert(threads % Layout::kChunks == 0 && Layout::kRows % kStep == 0);
  const int chunk = static_cast<int>(threadIdx.x) % Layout::kChunks;
  const int first_row = static_cast<int>(threadIdx.x) / Layout::kChunks;
  __device__ int row(int j) const { return first_row + j * kStep; }
  // Starts the copy of chunk j: from[offset], or zeros.
  __device__ void copy(T* tile, int j, const T* from, int offset, bool valid) const {
    cp_async<16>(tile + Layout::at(row(j), chunk), from + (valid ? offset : 0), valid);
  }
};

// Patches as rows: A of the implicit GEMM. Rows of the tile are positions, k runs over (tap, channel).
template <class T, int extent, int threads>
class PatchRows {
  using Chunks = ThreadChunks<T, Major::k, extent, threads>;
  static constexpr int kNowhere = -(1 << 14);  // a row of the image that no tap brings back inside

 public:
  __device__ PatchRows(const Gather& g, const PlaneWalk& walk, const void* source, int first_k, int first_position)
      : walk_(walk),
        source_(static_cast<const T*>(source)),
        cursor_(walk, g.channels, first_k + Chunks().chunk * kChunk<T>) {
#pragma unroll
    for (int j = 0; j < Chunks::kCount; ++j) {
      const int index = first_position + chunks_.row(j);
      const Position p(g, index);
      const int h = index < g.positions ? p.h * walk.h.scale : kNowhere, w = p.w * walk.w.scale;
      corner_[j] = h * (1 << 16) + w;
      base_[j] = ((p.image * walk.h.source + p.h * walk.h.scale) * walk.w.source + w) * g.channels;
    }
  }

  __device__ void next(T* tile) {
    const int dh = cursor_.tap_h * walk_.h.step + walk_.h.offset, dw = cursor_.tap_w * walk_.w.step + walk_.w.offset;
    const int delta = (dh * walk_.w.source + dw) * cursor_.channels + cursor_.channel;
    const bool inside = cursor_.inside();
#pragma unroll
    for (int j = 0; j < Chunks::kCount; ++j) {
      const bool valid = inside && walk_.in_source((corner_[j] >> 16) + dh, (corner_[j] & 0xffff) + dw);
      chunks_.copy(tile, j, source_, base_[j] + delta, valid);
    }
    cursor_.advance(kTileK<T>);
  }

 private:
  const PlaneWalk& walk_;
  const T* const source_;
  const Chunks chunks_;
  TapCursor cursor_;
  int corner_[Chunks::kCount];  // h in the upper half, w in the lower
  int base_[Chunks::kCount];    // offset of the corner in the source
};

// Weights [outputs][tap][channel] as B of the implicit GEMM: rows of the tile are outputs.
template <class T, int extent, int threads>
class WeightRows {
  using Chunks = ThreadChunks<T, Major::k, extent, threads>;

 public:
  __device__ WeightRows(const ImplicitGemm& c, const PlaneWalk& walk, int first_output, int first_k)
      : c_(c),
        walk_(walk),
        first_output_(first_output),
        cursor_(walk, c.weight_inner, first_k + Chunks().chunk * kChunk<T>) {}

  __device__ void next(T* tile) {
    const T* const weight = static_cast<const T*>(c_.weight);
    const int row_elements = c_.gather.h.taps * c_.gather.w.taps * c_.weight_inner;
    const int column = cursor_.weight_tap(walk_, c_.gather.w.taps) * c_.weight_inner + cursor_.channel;
    const bool inside = cursor_.inside();
#pragma unroll
    for (int j = 0; j < Chunks::kCount; ++j) {
      const int output = first_output_ + chunks_.row(j);
      const bool valid = inside && output < c_.outputs;
      chunks_.copy(tile, j, weight, output * row_elements + column, valid);
    }
    cursor_.advance(kTileK<T>);
  }

 private:
  const ImplicitGemm& c_;
  const PlaneWalk& walk_;
  const int first_output_;
  const Chunks chunks_;
  TapCursor cursor_;
};

// The same for weights [outputs][weight_inner], whose rows hold all (tap, channel) pairs without gaps between taps.
template <class T, int extent, int threads>
class FlatWeightRows {
  using Chunks = ThreadChunks<T, Major::k, extent, threads>;

 public:
  __device__ FlatWeightRows(const ImplicitGemm& c, const PlaneWalk&, int first_output, int first_k)
      : c_(c), first_output_(first_output), pair_(first_k + chunks_.chunk * kChunk<T>) {}

  __device__ void next(T* tile) {
#pragma unroll
    for (int j = 0; j < Chunks::kCount; ++j) {
      const int output = first_output_ + chunks_.row(j);
      const bool valid = pair_ < c_.weight_inner && output < c_.outputs;
      chunks_.copy(tile, j, static_cast<const T*>(c_.weight), output * c_.weight_inner + pair_, valid);
    }
    pair_ += kTileK<T>;
  }

 private:
  const ImplicitGemm& c_;
  const int first_output_;
  const Chunks chunks_;
  int pair_;
};

// Weights [channel][tap][outputs] as B of the implicit GEMM: rows of the tile are places in the sum. If a tap's
// channels fill whole tiles, all rows of a tile belong to one tap.
template <class T, int extent, int threads>
class WeightColumns {
  using Chunks = ThreadChunks<T, Major::mn, extent, threads>;

 public:
  __device__ WeightColumns(const ImplicitGemm& c, const PlaneWalk& walk, int first_output, int first_k)
      : c_(c),
        walk_(walk),
        output_(first_output + chunks_.chunk * kChunk<T>),
        cursor_(walk, c.gather.channels, first_k + chunks_.first_row),
        whole_tiles_(c.gather.channels % kTileK<T> == 0) {}

  __device__ void next(T* tile) {
    const int row_elements = c_.gather.h.taps * c_.gather.w.taps * c_.weight_inner;
    if (!whole_tiles_) {
#pragma unroll 1
      for (int j = 0; j < Chunks::kCount; ++j) {
        copy(tile, j, cursor_.channel, offset(row_elements));
        cursor_.advance(Chunks::kStep);  // in total by the depth of a tile
      }
      return;
    }
    const int first = offset(row_elements);
#pragma unroll
    for (int j = 0; j < Chunks::kCount; ++j) {
      copy(tile, j, cursor_.channel + j * Chunks::kStep, first + j * (Chunks::kStep * row_elements));
    }
    cursor_.advance(kTileK<T>);
  }

 private:
  // The offset of the cursor's channel and tap.
  __device__ int offset(int row_elements) const {
    const int tap = cursor_.weight_tap(walk_, c_.gather.w.taps);
    return cursor_.channel * row_elements + tap * c_.weight_inner + output_;
  }
  __device__ void copy(T* tile, int j, int channel, int offset) const {
    const bool valid = cursor_.inside() && channel < c_.weight_outer && output_ < c_.weight_inner;
    chunks_.copy(tile, j, static_cast<const T*>(c_.weight), offset, valid);
  }

  const ImplicitGemm& c_;
  const PlaneWalk& walk_;
  const Chunks chunks_;
  const int output_;
  TapCursor cursor_;
  const bool whole_tiles_;
};

// Patches as columns: B of the weight gradient. Rows of the tile are positions, columns (tap, channel).
template <class T, int extent, int threads>
class PatchColumns {
  using Chunks = ThreadChunks<T, Major::mn, extent, threads>;

 public:
  __device__ PatchColumns(const Gather& g, const PlaneWalk& walk, const void* source, int first_column,
                          int first_position)
      : gather_(g), walk_(walk), source_(static_cast<const T*>(source)), position_(first_position + chunks_.first_row) {
    const TapCursor cursor(walk, g.channels, first_column + chunks_.chunk * kChunk<T>);
    inside_ = cursor.inside();
    dh_ = cursor.tap_h * walk.h.step + walk.h.offset;
    dw_ = cursor.tap_w * walk.w.step + walk.w.offset;
    channel_ = cursor.channel;
  }

  __device__ void next(T* tile) {
#pragma unroll
    for (int j = 0; j < Chunks::kCount; ++j) {
      const int index = position_ + j * Chunks::kStep;
      const Position p(gather_, index);
      const int h = p.h * walk_.h.scale + dh_, w = p.w * walk_.w.scale + dw_;
      const bool valid = inside_ && index < gather_.positions && walk_.in_source(h, w);
      const int offset = ((p.image * walk_.h.source + h) * walk_.w.source + w) * gather_.channels + channel_;
      chunks_.copy(tile, j, source_, offset, valid);
    }
    position_ += kTileK<T>;
  }

 private:
  const Gather& gather_;
  const PlaneWalk& walk_;
  const T* const source_;
  const Chunks chunks_;
  int position_, dh_, dw_, channel_;
  bool inside_;
};

// Patches of a source whose channels do not fill whole chunks. Rows of the tile are positions, and its chunks are
// consecutive (tap, channel) pairs, along k (A of the implicit GEMM) or not (B of the weight gradient). There are few
// pairs, so chunks past the last pair are not gathered by any thread but set to zero.
template <class T, Major major, int extent, int threads>
class FewChannels {
  using Layout = TileLayout<T, major, extent>;
  static constexpr int kNowhere = -(1 << 30);  // packed like shift_: a row that nothing brings back inside the image

 public:
  __device__ FewChannels(const Gather& g, const PlaneWalk& walk, const void* source, int first_pair, int first_position)
      : gather_(g), walk_(walk), source_(static_cast<const T*>(source)), pair_(first_pair), position_(first_position) {
    const int pairs = walk.taps() * g.channels - first_pair;
    while (busy_ < Layout::kChunks && busy_ * kChunk<T> < pairs) busy_ *= 2;
    chunk_ = static_cast<int>(threadIdx.x) % busy_;
    if constexpr (major == Major::mn) aim();
  }

  __device__ void next(T* tile) {
    if constexpr (major == Major::k) aim();
    for (int row = static_cast<int>(threadIdx.x) / busy_; row < Layout::kRows; row += threads / busy_) {
      const int index = position_ + row;
      const Position p(gather_, index);
      const int h = p.h * walk_.h.scale, w = p.w * walk_.w.scale;
      const int corner = index < gather_.positions ? (h << 16) + w : kNowhere;
      const int base = ((p.image * walk_.h.source + h) * walk_.w.source + w) * gather_.channels;
      Vector<T, kChunk<T>> v{};
#pragma unroll
      for (int e = 0; e < kChunk<T>; ++e) {
        const int at = corner + shift_[e];
        if (walk_.in_source(at >> 16, at & 0xffff)) v[e] = source_[base + offset_[e]];
      }
      store_vector(tile + Layout::at(row, chunk_), v);
    }
    for (int row = static_cast<int>(threadIdx.x) / Layout::kChunks; row < Layout::kRows;
         row += threads / Layout::kChunks) {
      const int chunk = static_cast<int>(threadIdx.x) % Layout::kChunks;
      if (chunk >= busy_) store_vector(tile + Layout::at(row, chunk), Vector<T, kChunk<T>>{});
    }
    (major == Major::k ? pair_ : position_) += kTileK<T>;
  }

 private:
  // Computes shift_ and offset_ for the pairs of this thread's chunk.
  __device__ void aim() {
    TapCursor cursor(walk_, gather_.channels, pair_ + chunk_ * kChunk<T>);
#pragma unroll
    for (int e = 0; e < kChunk<T>; ++e) {
      const int dh = cursor.tap_h * walk_.h.step + walk_.h.offset, dw = cursor.tap_w * walk_.w.step + walk_.w.offset;
      shift_[e] = cursor.inside() ? dh * (1 << 16) + dw : kNowhere;
      offset_[e] = (dh * walk_.w.source + dw) * gather_.channels + cursor.channel;
      cursor.advance(1);
    }
  }

  const Gather& gather_;
  const PlaneWalk& walk_;
  const T* const source_;
  int pair_, position_;
  int busy_ = 1, chunk_;   // number of chunks per row with pairs, rounded up to a power of two; this thread's chunk
  int shift_[kChunk<T>];   // position of a pair relative to its patch's corner: h in the upper half, w in the lower
  int offset_[kChunk<T>];  // the same in elements
};

// A dense matrix [positions][channels] as A of the weight gradient.
template <class T, int extent, int threads>
class DenseColumns {
  using Chunks = ThreadChunks<T, Major::mn, extent, threads>;

 public:
  __device__ DenseColumns(const WeightGradientGemm& c, int first_channel, int first_position)
      : c_(c), channel_(first_channel + chunks_.chunk * kChunk<T>), position_(first_position + chunks_.first_row) {}

  __device__ void next(T* tile) {
    const T* const dense = static_cast<const T*>(c_.dense);
#pragma unroll
    for (int j = 0; j < Chunks::kCount; ++j) {
      const int index = position_ + j * Chunks::kStep;
      const bool valid = channel_ < c_.dense_channels && index < c_.gather.positions;
      chunks_.copy(tile, j, dense, index * c_.dense_channels + channel_, valid);
    }
    position_ += kTileK<T>;
  }

 private:
  const WeightGradientGemm& c_;
  const Chunks chunks_;
  const int channel_;
  int position_;
};

}  // namespace poise::POISE_GPU
