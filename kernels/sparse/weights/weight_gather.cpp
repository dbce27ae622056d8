#include "kernels/sparse/weights/weight_gather.h"

#include <algorithm>

#include "kernels/core/parallel.h"

namespace poise::cpu {

WeightGather::WeightGather(const WeightTerms& terms, const Conv2dGeometry& g, const WeightList& list, bool by_output,
                           bool values, WorkspaceLayout& layout)
    : terms_(terms), g_(g), list_(list), by_output_(by_output) {
  for (const WeightTerm& term : terms_) sums_ = sums_ || term.sums();
  offset_of_code_ = layout.carve<int32_t>(static_cast<size_t>(codes()));
  weight_of_code_ = layout.carve<int32_t>(static_cast<size_t>(codes()));
  offsets_ = layout.carve<int32_t>(static_cast<size_t>(list_.entries));
  values_ = layout.carve<float>(values ? static_cast<size_t>(list_.entries * list_.outputs) : 0);
}

void WeightGather::fill_tables(const LaneLayout& layout) {
  const int64_t channels = (by_output_ ? terms_.x : terms_.y).channels;
  for (int t = 0; t < terms_.count; ++t) {
    const WeightTerm& term = terms_.terms[t];
    const int64_t sign = by_output_ ? 1 : -1, phase = by_output_ ? term.in_phase : term.out_phase;
    const int64_t shift = sign * (term.dr * layout.row + term.dc * kImages);
    const int64_t tap = (term.first_r * g_.kw + term.first_s) * g_.c_in;
    for (int64_t channel = 0; channel < channels; ++channel) {
      const int64_t plane = phase * channels + channel, code = t * channels + channel;
      offset_of_code_[code] = static_cast<int32_t>(plane % list_.chunk * layout.plane + shift);
      weight_of_code_[code] = static_cast<int32_t>(tap + channel * (by_output_ ? 1 : kernel()));
    }
  }
}

// f(distance from the first tap's weight) for the further taps of a code's term.
template <class F>
void WeightGather::for_each_tap(uint16_t code, const F& f) const {
  const WeightTerm& term = terms_.terms[code / (by_output_ ? terms_.x : terms_.y).channels];
  for (int64_t r = 0; r <= term.last_r - term.first_r; ++r) {
    for (int64_t s = 0; s <= term.last_s - term.first_s; ++s) f((r * g_.kw + s) * g_.c_in);
  }
}

void WeightGather::gather(const LaneLayout& layout, const float* weight) {
  fill_tables(layout);
  constexpr int64_t kGrain = 256;
  parallel_chunks(list_.chunks * list_.rows, kGrain, [&](int64_t first, int64_t last) {
    const int64_t outputs = list_.outputs;
    for (int64_t segment = first; segment < last; ++segment) {
      const int32_t end = list_.begin[static_cast<size_t>(segment) + 1];
      int32_t e = list_.begin[static_cast<size_t>(segment)];
      if (!weight) {
        for (; e < end; ++e) offsets_[e] = offset_of_code_[list_.codes[static_cast<size_t>(e)]];
        continue;
      }
      const float* row = weight + row_part(segment % list_.rows % rows_of_phase());
      for (; e < end; ++e) {
        const uint16_t code = list_.codes[static_cast<size_t>(e)];
        offsets_[e] = offset_of_code_[code];
        const float* from = row + weight_of_code_[code];
        float* to = values_ + e * outputs;
        for (int64_t b = 0; b < outputs; ++b, from += kernel()) {
          if (!sums_) {
            to[b] = *from;
            continue;
          }
          float sum = 0;
          for_each_tap(code, [&](int64_t tap) { sum += from[tap]; });
          to[b] = sum;
        }
      }
    }
  });
}

void WeightGather::scatter(const Tensor& mask, const float* quads, float* dweight) const {
  const int64_t outputs = list_.outputs, run = g_.c_in / mask.shape.back(), rows = rows_of_phase();
  const uint8_t* alive = mask.data<uint8_t>();
  const int parts = weight_tile_kernels().parts;
  constexpr int64_t kRows = 16;
  parallel_chunks(rows, std::max<int64_t>(1, kRows / outputs), [&](int64_t first, int64_t last) {
    std::fill(dweight + first * outputs * kernel(), dweight + last * outputs * kernel(), 0.0f);
    for (int64_t segment = 0; segment < list_.chunks * list_.rows; segment += rows) {  // a phase of a chunk
      for (int64_t row = first; row < last; ++row) {
        const auto at = static_cast<size_t>(segment + row);
        int64_t weight = 0;  // of this row, four to a quad
        for (int32_t e = list_.begin[at]; e < list_.begin[at + 1]; ++e) {
          const uint16_t code = list_.codes[static_cast<size_t>(e)];
          for (int64_t b = 0; b < outputs; ++b, ++weight) {
            const float* quad = quads + (list_.quad_of_row[at] + weight / 4) * kQuad + weight % 4;
            float sum = quad[0];
            for (int m = 1; m < parts; ++m) sum += quad[4 * m];
            const int64_t to = (row * outputs + b) * kernel() + weight_of_code_[code];
            if (!sums_) {
              dweight[to] = sum;
              continue;
            }
            for_each_tap(code, [&](int64_t tap) { dweight[to + tap] += alive[(to + tap) / run] ? sum : 0.0f; });
          }
        }
      }
    }
  });
}

}  // namespace poise::cpu
