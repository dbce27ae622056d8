// From the codes of a list (weight_index.h) to what the inner loops read: where each entry finds its pixels in a packed
// region, and its values; and from gradients of entries back to the weight.
#pragma once
#include "kernels/core/workspace_layout.h"
#include "kernels/sparse/weights/image_lanes.h"
#include "kernels/sparse/weights/weight_index.h"

namespace poise::cpu {

// Enough tasks for a handful of cores; a number that depends on nothing but the layer.
constexpr int64_t kWeightTasks = 8;

class WeightGather {
 public:
  // `memory` null: only learns bytes().
  WeightGather(const WeightTerms& terms, const Conv2dGeometry& g, const WeightList& list, bool by_output, bool values,
               WorkspaceLayout& layout);

  // `weight` null: only offsets. Offsets count from the first plane of an entry's chunk.
  void gather(const LaneLayout& layout, const float* weight);
  const int32_t* offsets() const { return offsets_; }
  const float* values() const { return values_; }

  // From quads (weight_tiles.h) of a list by outputs: dweight = 0, and += each entry's sum at its taps that live.
  void scatter(const Tensor& mask, const float* quads, float* dweight) const;

 private:
  int64_t rows_of_phase() const { return (by_output_ ? terms_.y : terms_.x).channels / list_.outputs; }
  int64_t codes() const { return terms_.count * (by_output_ ? terms_.x : terms_.y).channels; }
  int64_t kernel() const { return g_.kh * g_.kw * g_.c_in; }  // weights of an output
  // Of a row within its phase: the part of a weight's index that its row decides.
  int64_t row_part(int64_t row) const { return by_output_ ? row * list_.outputs * kernel() : row; }
  void fill_tables(const LaneLayout& layout);
  template <class F>
  void for_each_tap(uint16_t code, const F& f) const;

  const WeightTerms& terms_;
  const Conv2dGeometry& g_;
  const WeightList& list_;
  const bool by_output_;
  bool sums_ = false;        // some term has several taps
  int32_t* offset_of_code_;  // [codes]
  int32_t* weight_of_code_;  // [codes]: the index of the first tap, but for the row's part
  int32_t* offsets_;         // [entries]
  float* values_;            // [entries][outputs]
};

}  // namespace poise::cpu
