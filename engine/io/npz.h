// NumPy's .npz: a zip archive of .npy arrays, each member stored or deflated. Enough of both formats to exchange
// statistics of features with other tools: arrays of f4 and f8, either byte order, C or Fortran order, .npy versions 1
// to 3, and byte strings. The reader trusts nothing: every offset, size and checksum is checked before it is used, and
// only the requested arrays are unpacked.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace poise {

struct NpyArray {
  std::string name;            // without ".npy"
  std::vector<int64_t> shape;  // {} is a scalar
  std::vector<double> values;  // row-major, regardless of the order in the file
  std::string text;            // instead of values: a scalar byte string ('S')
};

class NpzFile {
 public:
  // Both throw Error(data), naming `source`, for anything that is not a complete and consistent archive.
  static NpzFile read(const std::string& path);
  static NpzFile parse(std::vector<std::byte> bytes, const std::string& source = "npz");

  const std::string& source() const { return source_; }
  std::vector<std::string> names() const;  // in the order of the archive
  bool has(const std::string& name) const;
  // Unpacks one array. Error(data) if there is none with this name, or if it is damaged or of another type.
  NpyArray array(const std::string& name) const;

 private:
  struct Member {
    std::string name;
    uint16_t method = 0;
    uint32_t crc = 0;
    uint64_t offset = 0, packed = 0, unpacked = 0;  // of its bytes in the file
  };
  struct Directory {
    uint64_t begin = 0, end = 0, count = 0;
  };
  [[noreturn]] void refuse(const std::string& what) const;
  Directory find_directory() const;
  std::vector<Member> read_directory() const;
  size_t data_offset(const Member& member, uint16_t flags, size_t local_header, size_t directory) const;
  std::vector<std::byte> unpack(const Member& member) const;

  std::string source_;
  std::vector<std::byte> bytes_;
  std::vector<Member> members_;
};

// One .npy file. `where` names it in errors, which are Error(data).
NpyArray parse_npy(std::span<const std::byte> bytes, const std::string& where);

// Atomic: one array of 32-bit floats, row-major.
void write_npy(const std::string& path, const std::vector<int64_t>& shape, std::span<const float> values);

// Atomic. Values become '<f8', stored; the bytes of the file depend on the arguments alone.
void write_npz(const std::string& path, std::span<const NpyArray> arrays);

}  // namespace poise
