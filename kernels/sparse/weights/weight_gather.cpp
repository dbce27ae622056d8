#include "kernels/sparse/weights/weight_gather.h"

#include <algorithm>

#include "kernels/core/parallel.h"

namespace poise::cpu {
namespace {

constexpr int64_t kLine = 16;  // floats
constexpr int64_t kRows = 16;  // gathered together: in a list by inputs, rows share cache lines of the weight

}  // namespace

WeightGather::WeightGather(const WeightTerms& terms, const Conv2dGeometry& g, const WeightList& list, bool by_output,
                           bool values, WorkspaceLayout& layout)
    : terms_(terms), g_(g), list_(list), by_output_(by_output) {
  offset_of_code_ = layout.carve<int32_t>(static_cast<size_t>(codes()));
  weight_of_code_ = layout.carve<int32_t>(static_cast<size_t>(codes()));
  offsets_ = layout.carve<int32_t>(static_cast<size_t>(list_.entries));
  values_ = layout.carve<float>(values ? static_cast<size_t>(list_.entries * list_.outputs) : 0);
}

void WeightGather::prepare(const LaneLayout& layout) {
  const int64_t channels = read_channels();
  int64_t code = 0;
  for (const WeightTerm& term : terms_) {
    const int64_t sign = by_output_ ? 1 : -1, phase = by_output_ ? term.in_phase : term.out_phase;
    const int64_t shift = sign * (term.dr * layout.row + term.dc * kImages);
    const int64_t tap = (term.r * g_.kw + term.s) * g_.c_in;
    const auto step = static_cast<int32_t>(by_output_ ? 1 : kernel()), plane_step = static_cast<int32_t>(layout.plane);
    int64_t plane = phase * channels % list_.chunk;  // of its chunk
    for (int64_t channel = 0; channel < channels;) {
      const auto count = static_cast<int32_t>(std::min(list_.chunk - plane, channels - channel));
      const auto offset = static_cast<int32_t>(plane * layout.plane + shift);
      const auto weight = static_cast<int32_t>(tap + channel * step);
      for (int32_t i = 0; i < count; ++i) {
        offset_of_code_[code + i] = offset + i * plane_step;
        weight_of_code_[code + i] = weight + i * step;
      }
      channel += count, code += count, plane = 0;
    }
  }
}

// Prefetches the cache lines with the weights of rows first..last-1 of a phase in a chunk. These lines are rarely in a
// near cache, and are in short pieces far apart.
void WeightGather::fetch(int64_t chunk, int64_t first, int64_t last, const float* weight) const {
  const int64_t plane = chunk * list_.chunk % read_channels();
  const int64_t end = std::min(plane + list_.chunk, read_channels());
  const int64_t output = by_output_ ? first * list_.outputs : plane;
  const int64_t last_output = by_output_ ? last * list_.outputs : end;
  const int64_t input = by_output_ ? plane : first, last_input = by_output_ ? end : last;
  for (int64_t o = output; o < last_output; ++o) {
    for (int64_t tap = 0; tap < g_.kh * g_.kw; ++tap) {
      const float* line = weight + o * kernel() + tap * g_.c_in;
      for (int64_t i = input; i < last_input; i += kLine) __builtin_prefetch(line + i);
    }
  }
}

template <int kOutputs>
void WeightGather::gather_row(int64_t segment, const float* row) const {
  const int64_t to_next_output = kernel();
  const uint16_t* codes = list_.codes.data();
  const int32_t *weight_of_code = weight_of_code_, *offset_of_code = offset_of_code_;
  const int32_t first = list_.begin[static_cast<size_t>(segment)], end = list_.begin[static_cast<size_t>(segment) + 1];
  float* to = values_ + first * kOutputs;
  for (int32_t e = first; e < end; ++e, to += kOutputs) {
    const uint16_t code = codes[e];
    offsets_[e] = offset_of_code[code];
    const float* from = row + weight_of_code[code];
    for (int b = 0; b < kOutputs; ++b) to[b] = from[b * to_next_output];
  }
}

void WeightGather::gather(int64_t part, int64_t parts, const float* weight) const {
  if (!weight) {
    const int64_t end = (part + 1) * list_.entries / parts;
    for (int64_t e = part * list_.entries / parts; e < end; ++e) {
      offsets_[e] = offset_of_code_[list_.codes[static_cast<size_t>(e)]];
    }
    return;
  }
  const int64_t rows = rows_of_phase(), blocks = ceil_div(rows, kRows), phases = list_.rows / rows;
  const auto of_row = list_.outputs == 1   ? &WeightGather::gather_row<1>
                      : list_.outputs == 2 ? &WeightGather::gather_row<2>
                                           : &WeightGather::gather_row<4>;
  // If very few weights are alive, most lines are not needed.
  const bool fetches = list_.entries * list_.outputs * kLine >= g_.weight_shape().elements();
  for (int64_t block = part * blocks / parts; block < (part + 1) * blocks / parts; ++block) {
    const int64_t first = block * kRows, last = std::min(rows, first + kRows);
    if (fetches) fetch(0, first, last, weight);
    for (int64_t chunk = 0; chunk < list_.chunks; ++chunk) {
      if (fetches && chunk + 1 < list_.chunks) fetch(chunk + 1, first, last, weight);
      for (int64_t phase = 0; phase < phases; ++phase) {
        for (int64_t row = first; row < last; ++row) {
          (this->*of_row)(chunk * list_.rows + phase * rows + row, weight + row_part(row));
        }
      }
    }
  }
}

template <int kOutputs>
void WeightGather::scatter_row(int64_t segment, const float* quads, int64_t copies, float* row) const {
  const int64_t copy = list_.quads * kQuad, to_next_output = kernel();
  const auto at = static_cast<size_t>(segment);
  const uint16_t* code = list_.codes.data() + list_.begin[at];
  const int64_t weights = (list_.begin[at + 1] - list_.begin[at]) * kOutputs;
  const float* from = quads + list_.quad_of_row[at] * kQuad;
  for (int64_t first = 0; first < weights; first += kQuad, from += kQuad) {
    float sums[kQuad];
    std::copy_n(from, kQuad, sums);
    for (int64_t c = 1; c < copies; ++c) {
      for (int i = 0; i < kQuad; ++i) sums[i] += from[c * copy + i];
    }
    const int64_t count = std::min<int64_t>(kQuad, weights - first);
    for (int64_t i = 0; i < count; ++i) {
      row[weight_of_code_[code[(first + i) / kOutputs]] + i % kOutputs * to_next_output] = sums[i];
    }
  }
}

void WeightGather::scatter(const float* quads, int64_t copies, float* dweight) const {
  const int64_t outputs = list_.outputs, rows = rows_of_phase();
  const auto of_row = outputs == 1   ? &WeightGather::scatter_row<1>
                      : outputs == 2 ? &WeightGather::scatter_row<2>
                                     : &WeightGather::scatter_row<4>;
  const auto clear = [&](int64_t first, int64_t last) {  // outputs
    std::fill(dweight + first * kernel(), dweight + last * kernel(), 0.0f);
  };
  if (!by_output_) parallel_chunks(g_.c_out, kRows, clear);
  // By output, a task takes few outputs, so that what it clears is still in the L1 cache when it is written.
  const int64_t grain = by_output_ ? std::max<int64_t>(1, 4 / outputs) : kRows;
  parallel_chunks(rows, grain, [&](int64_t first, int64_t last) {
    if (by_output_) clear(first * outputs, last * outputs);
    for (int64_t segment = 0; segment < list_.chunks * list_.rows; segment += rows) {  // a phase of a chunk
      for (int64_t row = first; row < last; ++row) {
        (this->*of_row)(segment + row, quads, copies, dweight + row_part(row));
      }
    }
  });
}

}  // namespace poise::cpu
