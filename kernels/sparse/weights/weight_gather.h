// Translates the codes of a list (weight_index.h) into what the inner loops read: the offset of each entry's pixels in
// a packed region, and its values. Also scatters the gradients of entries back to the weight.
#pragma once
#include "kernels/core/workspace_layout.h"
#include "kernels/sparse/weights/image_lanes.h"
#include "kernels/sparse/weights/weight_index.h"

namespace poise::cpu {

class WeightGather {
 public:
  // `values`: also gather the values of entries. Carves its memory from `layout`, which may only count.
  WeightGather(const WeightTerms& terms, const Conv2dGeometry& g, const WeightList& list, bool by_output, bool values,
               WorkspaceLayout& layout);

  // Call this first: fills the tables by code.
  void prepare(const LaneLayout& layout);

  // Gathers one of `parts` parts of offsets and, unless `weight` is null, of values, for one task. Offsets are looked
  // up here and not in the inner loops, which read so much that one more load per entry takes a tenth of their time.
  void gather(int64_t part, int64_t parts, const float* weight) const;
  const int32_t* offsets() const { return offsets_; }  // from the first plane of the entry's chunk
  const float* values() const { return values_; }

  // dweight = each entry's sum over all `copies` copies of the quads (weight_tiles.h), stored one after another, where
  // weights are alive; 0 elsewhere.
  void scatter(const float* quads, int64_t copies, float* dweight) const;

 private:
  int64_t read_channels() const { return (by_output_ ? terms_.x : terms_.y).channels; }
  int64_t rows_of_phase() const { return (by_output_ ? terms_.y : terms_.x).channels / list_.outputs; }
  int64_t codes() const { return terms_.count * read_channels(); }
  int64_t kernel() const { return g_.kh * g_.kw * g_.c_in; }  // weights per output
  // The part of a weight's index that its row (within the phase) determines.
  int64_t row_part(int64_t row) const { return by_output_ ? row * list_.outputs * kernel() : row; }
  void fetch(int64_t chunk, int64_t first, int64_t last, const float* weight) const;
  template <int kOutputs>
  void gather_row(int64_t segment, const float* row) const;
  template <int kOutputs>
  void scatter_row(int64_t segment, const float* quads, int64_t copies, float* row) const;

  const WeightTerms& terms_;
  const Conv2dGeometry& g_;
  const WeightList& list_;
  const bool by_output_;
  int32_t* offset_of_code_;  // [codes]
  int32_t* weight_of_code_;  // [codes]: the index of its weight, without the row's part
  int32_t* offsets_;         // [entries]
  float* values_;            // [entries][outputs]
};

}  // namespace poise::cpu
