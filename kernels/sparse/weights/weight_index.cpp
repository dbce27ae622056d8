#include "kernels/sparse/weights/weight_index.h"

#include <algorithm>

#include "kernels/core/integer.h"
#include "kernels/core/parallel.h"
#include "kernels/sparse/masks/mask.h"
#include "kernels/sparse/weights/lane_share.h"

namespace poise {
namespace {

// Cache lines of 64 bytes for a chunk's pixels around a tile: the L1 cache is to hold them and some other data.
constexpr int64_t kLines = 384;

int64_t chunk_of(const WeightTerms& terms, const Conv2dGeometry& kind) {
  int64_t rows = 0, columns = 0;
  for (const WeightTerm& t : terms) {
    rows = std::max<int64_t>(rows, std::abs(t.dr));
    columns = std::max<int64_t>(columns, std::abs(t.dc));
  }
  const int64_t lines = kind.h * kind.w == 1 && terms.pointwise() ? 1 : (2 + 2 * rows) * (4 + 2 * columns);
  return std::max<int64_t>(16, kLines / lines / 16 * 16);
}

// A row's sums are read and written once per chunk, which costs as much as some entries. Where few weights are alive,
// chunks are therefore larger, although the L2 cache then serves some of their pixels. This matters less where several
// outputs share each pixel.
constexpr double kFewestEntries = 6;  // per row and chunk, for each output
constexpr int64_t kMostTimes = 4;     // largest chunk, as a multiple of that for many alive weights

int64_t chunk_at(const WeightList& full, int64_t planes, double density) {
  int64_t times = 1;
  const double entries = density * static_cast<double>(full.entries) / static_cast<double>(full.rows * full.chunks);
  while (times < kMostTimes &&
         static_cast<double>(times) * entries < kFewestEntries * static_cast<double>(full.outputs))
    times *= 2;
  return std::min(planes, times * full.chunk);
}

// The number of quads that `entries` entries of a row take.
int64_t quads_of(int64_t entries, int64_t outputs) { return (entries * outputs + 3) / 4; }

// One of the two lists, while it is built or counted.
struct ListView {
  const WeightTerms& terms;
  const Conv2dGeometry& kind;
  bool by_output;
  const WeightSide& read() const { return by_output ? terms.x : terms.y; }
  const WeightSide& written() const { return by_output ? terms.y : terms.x; }
  int read_phase(const WeightTerm& t) const { return by_output ? t.in_phase : t.out_phase; }
  int written_phase(const WeightTerm& t) const { return by_output ? t.out_phase : t.in_phase; }
};

// Calls f(code) for every entry of a row in one chunk for which `alive(output, tap, input)` holds.
template <class Alive, class F>
void for_each_entry(const ListView& view, const WeightList& list, int64_t row, int64_t chunk, const Alive& alive,
                    const F& f) {
  const int64_t rows_of_phase = view.written().channels / list.outputs, read_channels = view.read().channels;
  const int64_t phase = row / rows_of_phase, channel = row % rows_of_phase * list.outputs;
  const int64_t first = chunk * list.chunk, last = std::min(first + list.chunk, view.read().planes());
  for (int64_t plane = first; plane < last; ++plane) {
    const int64_t read_channel = plane % read_channels;
    const int read_phase = static_cast<int>(plane / read_channels);
    for (int t = 0; t < view.terms.count; ++t) {
      const WeightTerm& term = view.terms.terms[t];
      if (view.written_phase(term) != phase || view.read_phase(term) != read_phase) continue;
      const int64_t output = view.by_output ? channel : read_channel, input = view.by_output ? read_channel : channel;
      const bool lives = alive(output, term.r * view.kind.kw + term.s, input);
      if (lives) f(static_cast<uint16_t>(t * read_channels + read_channel));
    }
  }
}

WeightList empty_list(const ListView& view, int64_t outputs) {
  WeightList list{.outputs = outputs};
  list.rows = view.written().planes() / outputs;
  list.chunk = std::min(chunk_of(view.terms, view.kind), view.read().planes());
  list.chunks = ceil_div(view.read().planes(), list.chunk);
  list.most_chunk = std::min(view.read().planes(), kMostTimes * list.chunk);
  return list;
}

// Counts the entries and quads of a list in which all weights are alive.
void count_full(const ListView& view, WeightList& list) {
  list.entries = list.quads = 0;
  const auto alive = [](int64_t, int64_t, int64_t) { return true; };
  const int64_t rows_of_phase = view.written().channels / list.outputs;
  for (int64_t chunk = 0; chunk < list.chunks; ++chunk) {
    for (int64_t phase = 0; phase < view.written().phases; ++phase) {  // all rows of a phase have as many entries
      int64_t count = 0;
      for_each_entry(view, list, phase * rows_of_phase, chunk, alive, [&](uint16_t) { ++count; });
      list.entries += count * rows_of_phase;
      list.quads += quads_of(count, list.outputs) * rows_of_phase;
    }
  }
}

template <class Alive>
void fill(const ListView& view, WeightList& list, const Alive& alive) {
  const int64_t segments = list.chunks * list.rows;
  list.begin.assign(static_cast<size_t>(segments) + 1, 0);
  list.quad_of_row.assign(static_cast<size_t>(segments), 0);
  parallel_for(list.rows, [&](int64_t row) {
    for (int64_t chunk = 0; chunk < list.chunks; ++chunk) {
      int32_t& count = list.begin[static_cast<size_t>(chunk * list.rows + row) + 1];
      for_each_entry(view, list, row, chunk, alive, [&](uint16_t) { ++count; });
    }
  });
  list.quads = 0;
  for (size_t s = 0; s < static_cast<size_t>(segments); ++s) {
    list.quad_of_row[s] = static_cast<int32_t>(list.quads);
    list.quads += quads_of(list.begin[s + 1], list.outputs);
    list.begin[s + 1] += list.begin[s];
  }
  list.entries = list.begin.back();
  list.codes.resize(static_cast<size_t>(list.entries));
  parallel_for(list.rows, [&](int64_t row) {
    for (int64_t chunk = 0; chunk < list.chunks; ++chunk) {
      uint16_t* next = list.codes.data() + list.begin[static_cast<size_t>(chunk * list.rows + row)];
      for_each_entry(view, list, row, chunk, alive, [&](uint16_t code) { *next++ = code; });
    }
  });
}

size_t list_bytes(const WeightList& list, int64_t entries) {
  return static_cast<size_t>(2 * list.chunks * list.rows + 1) * sizeof(int32_t) +
         static_cast<size_t>(entries) * sizeof(uint16_t);
}

}  // namespace

WeightIndex WeightIndex::full(const Conv2dGeometry& kind, int64_t cell_out) {
  require(weights_conv2d_serves(kind),
          "unsupported convolution: the execution switch does not choose this path for it");
  const WeightTerms terms(kind);
  WeightIndex index{.kind = kind, .cell_out = cell_out, .alive = kind.weight_shape().elements()};
  const ListView rows{terms, index.kind, true}, columns{terms, index.kind, false};
  index.by_output = empty_list(rows, outputs_of_entry(cell_out));
  index.by_input = empty_list(columns, 1);
  count_full(rows, index.by_output);
  count_full(columns, index.by_input);
  index.full_entries_by_output = index.by_output.entries;
  index.full_entries_by_input = index.by_input.entries;
  return index;
}

size_t weight_index_bytes(const WeightIndex& index, double share) {
  const auto of = [&](int64_t full) { return static_cast<int64_t>(share * static_cast<double>(full)); };
  return list_bytes(index.by_output, of(index.full_entries_by_output)) +
         list_bytes(index.by_input, of(index.full_entries_by_input));
}

size_t weight_index_bytes(const WeightIndex& index) {
  return list_bytes(index.by_output, index.by_output.entries) + list_bytes(index.by_input, index.by_input.entries);
}

namespace cpu {

void build_weight_index(Context&, const Tensor& mask, WeightIndex& index) {
  const Conv2dGeometry& kind = index.kind;
  const WeightTerms terms(kind);
  const int64_t taps = kind.kh * kind.kw, run = kind.c_in / mask.shape.back(), row = taps * mask.shape.back();
  const uint8_t* bytes = mask.data<uint8_t>();
  index.mask = mask;
  const auto alive = [=](int64_t output, int64_t tap, int64_t input) {
    return bytes[output * row + tap * (row / taps) + input / run] != 0;
  };
  index.alive = 0;
  for (int64_t i = 0; i < mask.elements(); ++i) index.alive += bytes[i] != 0 ? run : 0;
  const double density = static_cast<double>(index.alive) / static_cast<double>(kind.weight_shape().elements());
  const WeightIndex all = WeightIndex::full(kind, index.cell_out);
  for (const bool by_output : {true, false}) {
    const ListView view{terms, kind, by_output};
    WeightList& list = by_output ? index.by_output : index.by_input;
    list.chunk = chunk_at(by_output ? all.by_output : all.by_input, view.read().planes(), density);
    list.chunks = ceil_div(view.read().planes(), list.chunk);
    fill(view, list, alive);
  }
}

}  // namespace cpu
}  // namespace poise
