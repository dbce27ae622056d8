// From the codes of a list (weight_index.h) to what the inner loops read: where the pixels of each entry lie in a packed
// region, and its values; and from gradients of entries back to the weight.
#pragma once
#include "kernels/core/workspace_layout.h"
#include "kernels/sparse/weights/image_lanes.h"
#include "kernels/sparse/weights/weight_index.h"

namespace poise::cpu {

class WeightGather {
 public:
  // `values`: of entries too. Carves what it needs from `layout`, which may only count.
  WeightGather(const WeightTerms& terms, const Conv2dGeometry& g, const WeightList& list, bool by_output, bool values,
               WorkspaceLayout& layout);

  // First: the tables by code.
  void prepare(const LaneLayout& layout);

  // One of `parts` parts of offsets and, unless `weight` is null, values, for one task. Offsets are looked up here, not by
  // the inner loops: these read so much that a load per entry is a tenth of their time.
  void gather(int64_t part, int64_t parts, const float* weight) const;
  const int32_t* offsets() const { return offsets_; }  // from the first plane of an entry's chunk
  const float* values() const { return values_; }

  // From quads (weight_tiles.h), in `copies` copies that follow each other: dweight = the sum of all copies of an entry's
  // sum where weights live, 0 elsewhere.
  void scatter(const float* quads, int64_t copies, float* dweight) const;

 private:
  int64_t read_channels() const { return (by_output_ ? terms_.x : terms_.y).channels; }
  int64_t rows_of_phase() const { return (by_output_ ? terms_.y : terms_.x).channels / list_.outputs; }
  int64_t codes() const { return terms_.count * read_channels(); }
  int64_t kernel() const { return g_.kh * g_.kw * g_.c_in; }  // weights of an output
  // Of a row within its phase: the part of a weight's index that its row decides.
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
  int32_t* weight_of_code_;  // [codes]: the index of its weight, but for the row's part
  int32_t* offsets_;         // [entries]
  float* values_;            // [entries][outputs]
};

}  // namespace poise::cpu
