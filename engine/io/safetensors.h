// safetensors: eight bytes of header length (little-endian), a JSON header, the bytes of the tensors one after another.
//   {"__metadata__": {string: string}, name: {"dtype": "F32", "shape": [2,3], "data_offsets": [begin, end]}, ...}
// Offsets count from the end of the header. The header is padded with spaces so that the data starts at a multiple
// of 8. The reader trusts nothing: whatever the file was, what it returns has been checked to the last byte.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "kernels/core/dtype.h"

namespace poise {

using StringMap = std::map<std::string, std::string>;

// A tensor to write. The caller owns the bytes, which are row-major.
struct TensorBytes {
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64_t> shape;
  const void* bytes = nullptr;

  size_t size_bytes() const;
};

// A tensor in a file that was read. The bytes belong to the SafetensorsFile and need not be aligned for their type (a
// writer other than ours may put an F64 after an odd number of U8): copy them, do not cast the pointer.
struct TensorView {
  DType dtype = DType::f32;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;
};

// Everything before the data: the length, the JSON and its padding. Tensors keep their order, metadata is sorted.
std::string safetensors_header(std::span<const TensorBytes> tensors, const StringMap& metadata);

// Atomic (atomic_file.h). The bytes of the file depend on the arguments alone.
void write_safetensors(const std::string& path, std::span<const TensorBytes> tensors, const StringMap& metadata);

class SafetensorsFile {
 public:
  // Both throw Error(checkpoint) for anything that is not a complete and consistent file.
  static SafetensorsFile read(const std::string& path);
  static SafetensorsFile parse(std::vector<std::byte> bytes, const std::string& source = "safetensors");

  SafetensorsFile(SafetensorsFile&&) = default;  // no copies: the views point into bytes_
  SafetensorsFile& operator=(SafetensorsFile&&) = default;

  const std::string& source() const { return source_; }             // the path, for messages
  const std::vector<std::string>& names() const { return names_; }  // in the order of their data in the file
  const TensorView* find(const std::string& name) const;            // null if there is none
  const TensorView& at(const std::string& name) const;              // Error(checkpoint) if there is none
  const StringMap& metadata() const { return metadata_; }

  std::span<const std::byte> header() const { return std::span(bytes_).first(header_size_); }  // with the length
  std::span<const std::byte> data() const { return std::span(bytes_).subspan(header_size_); }

 private:
  SafetensorsFile() = default;

  std::string source_;
  std::vector<std::byte> bytes_;
  size_t header_size_ = 0;
  std::vector<std::string> names_;
  std::map<std::string, TensorView> tensors_;
  StringMap metadata_;
};

}  // namespace poise
