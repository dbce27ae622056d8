#include "engine/sparse/compact_weights.h"

#include <zlib.h>

#include <charconv>
#include <cstring>
#include <functional>

namespace poise {
namespace {

constexpr const char* kFormat = "poise-compact-1";

Shape shape_of(const std::vector<int64_t>& dims) {
  return dims.size() == 4 ? Shape{dims[0], dims[1], dims[2], dims[3]} : Shape{dims[0], dims[1]};
}

// f(position in the weight, position inside the cell) for every weight of one cell.
void for_each_weight(const Shape& shape, const Cell& cell, int64_t index,
                     const std::function<void(size_t, size_t)>& f) {
  const int64_t taps = Cell::taps_of(shape), in = shape.back(), in_blocks = in / cell.in;
  const int64_t first_in = index % in_blocks * cell.in, rest = index / in_blocks;
  const int64_t first_tap = cell.all_taps ? 0 : rest % taps, cell_taps = cell.all_taps ? taps : 1;
  const int64_t first_out = (cell.all_taps ? rest : rest / taps) * cell.out;
  size_t inside = 0;
  for (int64_t o = first_out; o < first_out + cell.out; ++o) {
    for (int64_t tap = first_tap; tap < first_tap + cell_taps; ++tap) {
      for (int64_t i = first_in; i < first_in + cell.in; ++i) {
        f(static_cast<size_t>((o * taps + tap) * in + i), inside++);
      }
    }
  }
}

struct Compact {
  std::vector<int32_t> indices;
  std::vector<float> values;
};

Compact compact(const NamedWeights& tensor, const Shape& shape, const Cell& cell) {
  Compact result;
  std::vector<float> one(static_cast<size_t>(cell.weights_per_cell(shape)));
  for (int64_t index = 0; index < cell.cells_in(shape); ++index) {
    bool alive = false;
    for_each_weight(shape, cell, index, [&](size_t at, size_t inside) {
      one[inside] = tensor.values[at];
      alive = alive || one[inside] != 0;
    });
    if (!alive) continue;
    result.indices.push_back(static_cast<int32_t>(index));
    result.values.insert(result.values.end(), one.begin(), one.end());
  }
  return result;
}

std::string shape_text(const std::vector<int64_t>& dims) {
  std::string text;
  for (const int64_t d : dims) text += (text.empty() ? "" : ",") + std::to_string(d);
  return text;
}

[[noreturn]] void refuse(const SafetensorsFile& file, const std::string& what) {
  fail(ErrorKind::checkpoint, file.source() + ": " + what);
}

std::vector<int64_t> shape_from(const SafetensorsFile& file, const std::string& name, const std::string& text) {
  constexpr int64_t kMostWeights = int64_t{1} << 31;  // of a layer: a larger shape could exhaust the memory
  std::vector<int64_t> dims;
  int64_t weights = 1;
  const char *at = text.data(), *end = at + text.size();
  while (at <= end) {
    int64_t d = 0;
    const auto parsed = std::from_chars(at, end, d);
    if (parsed.ec != std::errc() || d < 1 || d > kMostWeights / weights) break;
    weights *= d;
    dims.push_back(d);
    at = parsed.ptr + 1;
    if (parsed.ptr == end) {
      if (dims.size() == 2 || dims.size() == 4) return dims;
      break;
    }
    if (*parsed.ptr != ',') break;
  }
  refuse(file, name + ".shape: expected two or four extents like 64,3,3,32, found \"" + text + "\"");
}

// Skips empty data, for which the pointer may be null: zlib would restart the checksum.
uLong add_to_crc(uLong crc, const void* bytes, size_t size) {
  return size == 0 ? crc : crc32_z(crc, static_cast<const Bytef*>(bytes), size);
}

template <class T>
std::vector<T> values_of(const TensorView& view) {
  std::vector<T> values(view.bytes.size() / sizeof(T));
  std::memcpy(values.data(), view.bytes.data(), values.size() * sizeof(T));
  return values;
}

const std::string& metadata_of(const SafetensorsFile& file, const std::string& key) {
  const auto found = file.metadata().find(key);
  if (found == file.metadata().end()) refuse(file, "expected metadata " + key + ", found none");
  return found->second;
}

NamedWeights expand(const SafetensorsFile& file, const std::string& name) {
  NamedWeights tensor{.name = name, .shape = shape_from(file, name, metadata_of(file, name + ".shape"))};
  const auto cell = cell_of(metadata_of(file, name + ".cell"));
  const Shape shape = shape_of(tensor.shape);
  const TensorView &stored_indices = file.at(name + ".indices"), &stored_values = file.at(name + ".values");
  if (!cell || !cell->divides(shape) || stored_indices.dtype != DType::i32 || stored_values.dtype != DType::f32) {
    refuse(file, name + ": its cell, shape and element types are inconsistent");
  }
  const auto indices = values_of<int32_t>(stored_indices);
  const auto values = values_of<float>(stored_values);
  const auto size = static_cast<size_t>(cell->weights_per_cell(shape));
  if (values.size() != indices.size() * size)
    refuse(file, name + ": expected " + std::to_string(size) + " values a cell");
  tensor.values.resize(static_cast<size_t>(shape.elements()));
  for (size_t k = 0; k < indices.size(); ++k) {
    if (indices[k] < 0 || indices[k] >= cell->cells_in(shape)) {
      refuse(file, name + ".indices: found cell " + std::to_string(indices[k]) + " of " +
                       std::to_string(cell->cells_in(shape)));
    }
    for_each_weight(shape, *cell, indices[k],
                    [&](size_t at, size_t inside) { tensor.values[at] = values[k * size + inside]; });
  }
  return tensor;
}

}  // namespace

size_t export_sparse(const std::string& path, const std::vector<NamedWeights>& tensors, const Cell& cell,
                     const StringMap& metadata) {
  StringMap all = metadata;
  all["format"] = kFormat;
  std::vector<Compact> kept(tensors.size());
  std::vector<TensorBytes> stored;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const NamedWeights& tensor = tensors[i];
    const bool matrix = tensor.shape.size() == 2 || tensor.shape.size() == 4;
    if (matrix && cell.divides(shape_of(tensor.shape))) kept[i] = compact(tensor, shape_of(tensor.shape), cell);
    const size_t compact_size = kept[i].indices.size() + kept[i].values.size();
    if (!matrix || !cell.divides(shape_of(tensor.shape)) || compact_size >= tensor.values.size()) {
      stored.push_back({tensor.name, DType::f32, tensor.shape, tensor.values.data()});
      continue;
    }
    const auto alive = static_cast<int64_t>(kept[i].indices.size());
    const int64_t size = cell.weights_per_cell(shape_of(tensor.shape));
    stored.push_back({tensor.name + ".indices", DType::i32, {alive}, kept[i].indices.data()});
    stored.push_back({tensor.name + ".values", DType::f32, {alive, size}, kept[i].values.data()});
    all[tensor.name + ".shape"] = shape_text(tensor.shape);
    all[tensor.name + ".cell"] = to_string(cell);
  }
  uLong crc = 0;
  for (const TensorBytes& tensor : stored) crc = add_to_crc(crc, tensor.bytes, tensor.size_bytes());
  all["crc32"] = std::to_string(crc);
  if (!path.empty()) write_safetensors(path, stored, all);
  size_t bytes = safetensors_header(stored, all).size();
  for (const TensorBytes& tensor : stored) bytes += tensor.size_bytes();
  return bytes;
}

bool is_sparse_export(const SafetensorsFile& file) {
  const auto found = file.metadata().find("format");
  return found != file.metadata().end() && found->second == kFormat;
}

std::vector<uint8_t> alive_cells(const NamedWeights& tensor, const Cell& cell) {
  const Shape shape = shape_of(tensor.shape);
  std::vector<uint8_t> alive(static_cast<size_t>(cell.cells_in(shape)));
  for (size_t index = 0; index < alive.size(); ++index) {
    for_each_weight(shape, cell, static_cast<int64_t>(index),
                    [&](size_t at, size_t) { alive[index] |= static_cast<uint8_t>(tensor.values[at] != 0); });
  }
  return alive;
}

std::vector<NamedWeights> read_sparse(const SafetensorsFile& file) {
  if (metadata_of(file, "format") != kFormat) refuse(file, std::string("expected format ") + kFormat);
  if (const auto crc = file.metadata().find("crc32");
      crc != file.metadata().end() &&
      crc->second != std::to_string(add_to_crc(0, file.data().data(), file.data().size()))) {
    refuse(file, "its data does not match its checksum; the file is damaged, export it again");
  }
  std::vector<NamedWeights> tensors;
  for (const std::string& name : file.names()) {
    if (name.ends_with(".values")) continue;
    if (name.ends_with(".indices")) {
      tensors.push_back(expand(file, name.substr(0, name.size() - std::string(".indices").size())));
      continue;
    }
    const TensorView& view = file.at(name);
    if (view.dtype != DType::f32) refuse(file, name + ": expected f32, found " + name_of(view.dtype));
    tensors.push_back({name, view.shape, values_of<float>(view)});
  }
  return tensors;
}

}  // namespace poise
