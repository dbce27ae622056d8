#include "engine/io/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>

#include "engine/io/atomic_file.h"
#include "engine/io/message.h"
#include "engine/io/read_file.h"
#include "engine/io/safetensors_header.h"
#include "kernels/core/error.h"
#include "kernels/core/integer.h"

namespace poise {
namespace {

static_assert(std::endian::native == std::endian::little, "lengths and tensors are copied as they lie in memory");

constexpr size_t kLengthBytes = 8, kHeaderAlignment = 8;
constexpr uint64_t kMostHeaderBytes = 100'000'000;  // the format's own limit

[[noreturn]] void refuse(const std::string& source, const std::string& what) {
  fail(ErrorKind::checkpoint, source + ": " + what);
}

// Bytes of a tensor; false if any product of its dimensions overflows, even one that a later 0 would hide.
bool size_of_tensor(const HeaderEntry& entry, uint64_t& bytes) {
  uint64_t product = size_of(entry.dtype);
  bool empty = false;
  for (int64_t dimension : entry.shape) {
    empty |= dimension == 0;
    if (__builtin_mul_overflow(product, static_cast<uint64_t>(std::max<int64_t>(dimension, 1)), &product)) return false;
  }
  bytes = empty ? 0 : product;
  return product <= static_cast<uint64_t>(INT64_MAX);
}

// Each tensor has the bytes its shape needs, and together they cover the data: no overlap, no hole, nothing left over.
// Sorts the entries by offset.
void check_layout(std::vector<HeaderEntry>& entries, uint64_t data_bytes, const std::string& source) {
  std::stable_sort(entries.begin(), entries.end(), [](const HeaderEntry& a, const HeaderEntry& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
  });
  uint64_t covered = 0;
  for (const HeaderEntry& entry : entries) {
    const auto about = [&](const std::string& what) {
      return fmt::format("tensor {}: {} for {} [{}] at [{},{}] of {} bytes of data; the file is damaged",
                         in_quotes(entry.name), what, safetensors_name_of(entry.dtype), fmt::join(entry.shape, ","),
                         entry.begin, entry.end, data_bytes);
    };
    uint64_t bytes = 0;
    if (!size_of_tensor(entry, bytes)) refuse(source, about("expected a size below 2^63"));
    if (entry.begin > entry.end || entry.end > data_bytes) refuse(source, about("expected offsets within the data"));
    if (entry.end - entry.begin != bytes) refuse(source, about(fmt::format("expected {} bytes", bytes)));
    if (entry.begin < covered) refuse(source, about(fmt::format("overlap, expected to begin at {}", covered)));
    if (entry.begin > covered) refuse(source, about(fmt::format("hole, expected to begin at {}", covered)));
    covered = entry.end;
  }
  if (covered != data_bytes) {
    refuse(source, fmt::format("expected the tensors to cover {} bytes of data, found {}; the file is damaged",
                               data_bytes, covered));
  }
}

}  // namespace

size_t TensorBytes::size_bytes() const {
  uint64_t size = 0;
  const bool fits = size_of_tensor({.dtype = dtype, .shape = shape}, size);
  require(fits && std::none_of(shape.begin(), shape.end(), [](int64_t d) { return d < 0; }),
          "a tensor to write has a valid shape");
  return size;
}

std::string safetensors_header(std::span<const TensorBytes> tensors, const StringMap& metadata) {
  std::vector<HeaderEntry> entries;
  std::set<std::string> names = {"__metadata__"};
  uint64_t offset = 0;
  for (const TensorBytes& tensor : tensors) {
    require(names.insert(tensor.name).second, "the tensors of a file have different names");
    const uint64_t end = offset + tensor.size_bytes();
    entries.push_back({.name = tensor.name, .dtype = tensor.dtype, .shape = tensor.shape, .begin = offset, .end = end});
    offset = end;
  }
  std::string json = safetensors_json(entries, metadata);
  json.resize(ceil_div(json.size(), kHeaderAlignment) * kHeaderAlignment, ' ');
  require(json.size() <= kMostHeaderBytes, "a safetensors header has at most 100 MB");
  const uint64_t length = json.size();
  std::string header(kLengthBytes, '\0');
  std::memcpy(header.data(), &length, kLengthBytes);
  return header + json;
}

namespace {

// Refuses formats that users give by mistake, and says what to do.
void refuse_other_formats(std::string_view bytes, const std::string& source) {
  const auto is = [&](std::string_view start, const char* what) {
    if (bytes.starts_with(start)) {
      refuse(source, fmt::format("expected a safetensors file, found {}; convert it (weights of Inception: "
                                 "bench/convert_inception.py)",
                                 what));
    }
  };
  is("PK\x03\x04", "a zip archive, as PyTorch (.pth, .pt) and NumPy (.npz) write");
  for (const char* pickle : {"\x80\x02", "\x80\x03", "\x80\x04", "\x80\x05"}) {
    is(pickle, "a pickle, as Python and early PyTorch (.pth, .pt) write");
  }
  is("\x89HDF", "an HDF5 file");
  is("\x93NUMPY", "a NumPy array (.npy)");
}

}  // namespace

void write_safetensors(const std::string& path, std::span<const TensorBytes> tensors, const StringMap& metadata) {
  const std::string header = safetensors_header(tensors, metadata);
  AtomicFile file(path);
  file.write(header);
  for (const TensorBytes& tensor : tensors) file.write(tensor.bytes, tensor.size_bytes());
  file.commit();
}

SafetensorsFile SafetensorsFile::read(const std::string& path) {
  return parse(read_file(path, ErrorKind::checkpoint, "give the path of a .safetensors file that exists"), path);
}

SafetensorsFile SafetensorsFile::parse(std::vector<std::byte> bytes, const std::string& source) {
  refuse_other_formats({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, source);
  if (bytes.size() < kLengthBytes) {
    refuse(source, fmt::format("expected at least {} bytes, found {}; the file is damaged or no safetensors file",
                               kLengthBytes, bytes.size()));
  }
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), kLengthBytes);
  const uint64_t most = std::min<uint64_t>(kMostHeaderBytes, bytes.size() - kLengthBytes);
  if (length < 2 || length > most) {
    refuse(source, fmt::format("expected a header of 2 to {} bytes, found a length of {}; the file is truncated or no "
                               "safetensors file",
                               most, length));
  }
  SafetensorsFile file;
  file.source_ = source;
  file.bytes_ = std::move(bytes);
  file.header_size_ = kLengthBytes + length;
  const std::string_view text(reinterpret_cast<const char*>(file.bytes_.data()) + kLengthBytes, length);
  if (text[0] != '{') refuse(source, "expected a header that begins with {; the file is no safetensors file");

  SafetensorsHeader header = parse_safetensors_header(text, source);
  file.metadata_ = std::move(header.metadata);
  check_layout(header.entries, file.data().size(), source);
  for (HeaderEntry& entry : header.entries) {
    file.names_.push_back(entry.name);
    file.tensors_[entry.name] = {.dtype = entry.dtype,
                                 .shape = std::move(entry.shape),
                                 .bytes = file.data().subspan(entry.begin, entry.end - entry.begin)};
  }
  return file;
}

const TensorView* SafetensorsFile::find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

const TensorView& SafetensorsFile::at(const std::string& name) const {
  const TensorView* view = find(name);
  if (!view) {
    refuse(source_, fmt::format("expected a tensor {}, found none among {}; is this a file of another model?",
                                in_quotes(name), names_.size()));
  }
  return *view;
}

}  // namespace poise
