#include "engine/io/npz.h"

#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <set>

#include "engine/io/atomic_file.h"
#include "engine/io/message.h"
#include "engine/io/read_file.h"

namespace poise {
namespace {

// The parts of a zip archive (APPNOTE 6.3): local header and bytes of each member, the central directory, its end.
constexpr uint32_t kLocalSignature = 0x04034b50, kEntrySignature = 0x02014b50, kEndSignature = 0x06054b50;
constexpr size_t kLocalSize = 30, kEntrySize = 46, kEndSize = 22, kLongestComment = 65535;
// zip64: numbers that do not fit in these are stored in a second end, to which a locator points, and in extra fields.
constexpr uint32_t kEnd64Signature = 0x06064b50, kLocatorSignature = 0x07064b50;
constexpr size_t kEnd64Size = 56, kLocatorSize = 20;
constexpr uint16_t kExtra64 = 1;
constexpr uint32_t kNoRoom = std::numeric_limits<uint32_t>::max();
constexpr uint16_t kStored = 0, kDeflated = 8;
constexpr uint16_t kEncrypted = 1, kSizesFollow = 8;
constexpr size_t kMostMembers = 1000;
constexpr size_t kLargestMember = size_t{1} << 30;
constexpr size_t kMostExpansion = 1032;  // the largest that deflate can reach

uint32_t load(const std::vector<std::byte>& bytes, size_t at, size_t size) {
  uint32_t value = 0;
  for (size_t i = 0; i < size; ++i) value |= static_cast<uint32_t>(bytes[at + i]) << (8 * i);
  return value;
}
uint16_t load16(const std::vector<std::byte>& bytes, size_t at) { return static_cast<uint16_t>(load(bytes, at, 2)); }
uint32_t load32(const std::vector<std::byte>& bytes, size_t at) { return load(bytes, at, 4); }
uint64_t load64(const std::vector<std::byte>& bytes, size_t at) {
  return load32(bytes, at) | uint64_t{load32(bytes, at + 4)} << 32;
}

// Replaces, in order, those of `numbers` that did not fit by those in the zip64 field of the extra fields [at, end).
void take_from_extra(const std::vector<std::byte>& bytes, size_t at, size_t end,
                     std::initializer_list<uint64_t*> numbers) {
  while (end - at >= 4) {
    const size_t size = load16(bytes, at + 2);
    if (end - at - 4 < size) return;
    if (load16(bytes, at) == kExtra64) {
      end = at + 4 + size;
      at += 4;
      for (uint64_t* number : numbers) {
        if (*number != kNoRoom) continue;
        if (end - at < 8) return;
        *number = load64(bytes, at);
        at += 8;
      }
      return;
    }
    at += 4 + size;
  }
}

void append(std::string& to, uint64_t value, size_t size) {
  for (size_t i = 0; i < size; ++i) to += static_cast<char>(value >> (8 * i) & 0xff);
}

uint32_t crc_of(const void* bytes, size_t size) {
  return static_cast<uint32_t>(crc32_z(0, static_cast<const Bytef*>(bytes), size));
}

// Everything of an .npy file before its data.
std::string npy_header(const std::string& descr, const std::vector<int64_t>& sizes) {
  std::string shape;
  for (const int64_t size : sizes) shape += std::to_string(size) + ", ";
  if (sizes.size() > 1) shape.resize(shape.size() - 2);
  std::string header = "{'descr': '" + descr + "', 'fortran_order': False, 'shape': (" + shape + "), }";
  header.resize((10 + header.size() + 1 + 63) / 64 * 64 - 10 - 1, ' ');  // the data starts at a multiple of 64
  header += '\n';
  std::string bytes = std::string("\x93NUMPY\x01\x00", 8);
  append(bytes, header.size(), 2);
  return bytes + header;
}

size_t count_of(const std::vector<int64_t>& shape) {
  size_t count = 1;
  for (const int64_t size : shape) count *= static_cast<size_t>(size);
  return count;
}

std::string npy_bytes(const NpyArray& array) {
  const bool is_text = array.values.empty() && array.shape.empty();
  require(is_text || array.values.size() == count_of(array.shape), "as many values as their shape says");
  const std::string descr = is_text ? "|S" + std::to_string(std::max<size_t>(1, array.text.size())) : "<f8";
  std::string bytes = npy_header(descr, array.shape);
  if (is_text) return bytes + (array.text.empty() ? std::string(1, '\0') : array.text);
  for (const double value : array.values) append(bytes, std::bit_cast<uint64_t>(value), 8);
  return bytes;
}

}  // namespace

void NpzFile::refuse(const std::string& what) const { fail(ErrorKind::data, source_ + ": " + what); }

NpzFile NpzFile::read(const std::string& path) {
  return parse(read_file(path, ErrorKind::data, "make it with evaluate_gan make-stats"), path);
}

NpzFile NpzFile::parse(std::vector<std::byte> bytes, const std::string& source) {
  NpzFile file;
  file.source_ = source;
  file.bytes_ = std::move(bytes);
  file.members_ = file.read_directory();
  return file;
}

NpzFile::Directory NpzFile::find_directory() const {
  const size_t size = bytes_.size();
  const char* kNoArchive = "expected an .npz archive, found another kind of file or a truncated one; create it again";
  if (size < kEndSize) refuse(kNoArchive);
  // Only a comment, whose length is in the end of the directory, follows that end in the file.
  size_t end = size - kEndSize;
  const size_t first = end > kLongestComment ? end - kLongestComment : 0;
  while (load32(bytes_, end) != kEndSignature || end + kEndSize + load16(bytes_, end + 20) != size) {
    if (end == first) refuse(kNoArchive);
    --end;
  }
  const auto check_in_one_piece = [&](bool whole) {
    if (!whole) refuse("expected a whole archive, found one part of several; join the parts");
  };
  Directory d{.begin = load32(bytes_, end + 16), .end = end, .count = load16(bytes_, end + 10)};
  uint64_t bytes = load32(bytes_, end + 12);
  check_in_one_piece(load16(bytes_, end + 4) == 0 && load16(bytes_, end + 6) == 0 &&
                     load16(bytes_, end + 8) == d.count);
  if (end >= kLocatorSize && load32(bytes_, end - kLocatorSize) == kLocatorSignature) {
    const size_t locator = end - kLocatorSize;
    const uint64_t at = load64(bytes_, locator + 8);
    if (at > locator || locator - at < kEnd64Size || load32(bytes_, at) != kEnd64Signature) {
      refuse("the end of its directory (zip64) is not where the file says; the archive is damaged, make it again");
    }
    d = {.begin = load64(bytes_, at + 48), .end = at, .count = load64(bytes_, at + 32)};
    bytes = load64(bytes_, at + 40);
    check_in_one_piece(load64(bytes_, at + 24) == d.count);
  }
  if (d.count > kMostMembers || d.begin > d.end || bytes != d.end - d.begin) {
    refuse("expected a directory of at most " + std::to_string(kMostMembers) +
           " arrays that ends where the file says; the archive is damaged, make it again");
  }
  return d;
}

std::vector<NpzFile::Member> NpzFile::read_directory() const {
  const auto [directory, end, count] = find_directory();
  std::vector<Member> members;
  std::set<std::string> names;
  std::vector<std::pair<size_t, size_t>> used;  // the range in the file of each member's local header and bytes
  size_t at = directory;
  for (size_t i = 0; i < count; ++i) {
    if (end - at < kEntrySize || load32(bytes_, at) != kEntrySignature) refuse("the directory is damaged");
    const size_t name_size = load16(bytes_, at + 28), rest = load16(bytes_, at + 30) + size_t{load16(bytes_, at + 32)};
    if (end - at - kEntrySize < name_size + rest) refuse("the directory is truncated");
    Member member{.name = std::string(reinterpret_cast<const char*>(bytes_.data()) + at + kEntrySize, name_size),
                  .method = load16(bytes_, at + 10),
                  .crc = load32(bytes_, at + 16),
                  .packed = load32(bytes_, at + 20),
                  .unpacked = load32(bytes_, at + 24)};
    const uint16_t flags = load16(bytes_, at + 8);
    uint64_t local = load32(bytes_, at + 42);
    const size_t extra = at + kEntrySize + name_size;
    take_from_extra(bytes_, extra, extra + load16(bytes_, at + 30), {&member.unpacked, &member.packed, &local});
    member.offset = data_offset(member, flags, local, directory);
    used.emplace_back(local, member.offset + member.packed);
    if (!names.insert(member.name).second) refuse("two arrays are named " + in_quotes(member.name));
    members.push_back(std::move(member));
    at += kEntrySize + name_size + rest;
  }
  if (at != end) refuse("the directory has bytes that belong to no array");
  std::sort(used.begin(), used.end());
  for (size_t i = 1; i < used.size(); ++i) {
    if (used[i].first < used[i - 1].second) refuse("arrays overlap in the file; such an archive is refused");
  }
  return members;
}

// Where the bytes of a member begin. Local header and directory must agree.
size_t NpzFile::data_offset(const Member& member, uint16_t flags, size_t local, size_t directory) const {
  const std::string name = in_quotes(member.name);
  if (local > directory || directory - local < kLocalSize || load32(bytes_, local) != kLocalSignature) {
    refuse("array " + name + " is not where the directory says");
  }
  if ((flags & kEncrypted) != 0) refuse("array " + name + " is encrypted; save it without a password");
  const size_t name_size = load16(bytes_, local + 26), extra = load16(bytes_, local + 28);
  const size_t offset = local + kLocalSize + name_size + extra;
  if (offset > directory || member.packed > directory - offset) refuse("array " + name + " is truncated");
  const std::string local_name(reinterpret_cast<const char*>(bytes_.data()) + local + kLocalSize, name_size);
  if (local_name != member.name || load16(bytes_, local + 8) != member.method || load16(bytes_, local + 6) != flags) {
    refuse("array " + name + ": its own header contradicts the directory");
  }
  const auto agrees = [&](size_t at, size_t value) {
    const uint32_t said = load32(bytes_, at);
    // The sizes are in a zip64 field, as numpy writes them, or after the bytes, or here.
    return said == kNoRoom || (flags & kSizesFollow) != 0 || said == value;
  };
  if (!agrees(local + 18, member.packed) || !agrees(local + 22, member.unpacked)) {
    refuse("array " + name + ": its own header contradicts the directory");
  }
  const bool possible = member.method == kStored     ? member.packed == member.unpacked
                        : member.method == kDeflated ? member.unpacked / kMostExpansion <= member.packed
                                                     : false;
  if (!possible || std::max(member.packed, member.unpacked) > kLargestMember) {
    refuse("array " + name + ": expected stored or deflated bytes, at most 1 GiB, found method " +
           std::to_string(member.method) + ", " + std::to_string(member.packed) + " bytes for " +
           std::to_string(member.unpacked) + "; save it with numpy.savez");
  }
  return offset;
}

std::vector<std::byte> NpzFile::unpack(const Member& member) const {
  const std::byte* from = bytes_.data() + member.offset;
  std::vector<std::byte> unpacked;
  bool whole = true;
  if (member.method == kStored) {
    unpacked.assign(from, from + member.packed);
  } else {
    unpacked.resize(member.unpacked + 1);  // one more, to detect a longer stream, and so that next_out is never null
    z_stream stream{};
    require(inflateInit2(&stream, -MAX_WBITS) == Z_OK, "zlib starts");
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(from));
    stream.avail_in = static_cast<uInt>(member.packed);
    stream.next_out = reinterpret_cast<Bytef*>(unpacked.data());
    stream.avail_out = static_cast<uInt>(unpacked.size());
    const int result = inflate(&stream, Z_FINISH);
    whole = result == Z_STREAM_END && stream.avail_in == 0 && stream.total_out == member.unpacked;
    inflateEnd(&stream);
    unpacked.resize(member.unpacked);
  }
  if (!whole || crc_of(unpacked.data(), unpacked.size()) != member.crc) {
    refuse("array " + in_quotes(member.name) + " is damaged: it does not unpack to what its checksum says");
  }
  return unpacked;
}

std::vector<std::string> NpzFile::names() const {
  std::vector<std::string> names;
  for (const Member& member : members_) {
    if (member.name.ends_with(".npy")) names.push_back(member.name.substr(0, member.name.size() - 4));
  }
  return names;
}

bool NpzFile::has(const std::string& name) const {
  return std::any_of(members_.begin(), members_.end(), [&](const Member& m) { return m.name == name + ".npy"; });
}

NpyArray NpzFile::array(const std::string& name) const {
  for (const Member& member : members_) {
    if (member.name != name + ".npy") continue;
    NpyArray array = parse_npy(unpack(member), source_ + ": array " + in_quotes(name));
    array.name = name;
    return array;
  }
  std::string there;
  for (const std::string& other : names()) there += (there.empty() ? "" : ", ") + other;
  refuse("expected an array named " + name + ", found " + in_quotes(there) + "; save it with numpy.savez(FILE, " +
         name + "=..)");
}

void write_npy(const std::string& path, const std::vector<int64_t>& shape, std::span<const float> values) {
  require(values.size() == count_of(shape), "as many values as their shape says");
  std::string bytes = npy_header("<f4", shape);
  for (const float value : values) append(bytes, std::bit_cast<uint32_t>(value), 4);
  write_file_atomically(path, bytes);
}

void write_npz(const std::string& path, std::span<const NpyArray> arrays) {
  AtomicFile file(path);
  std::string directory;
  size_t offset = 0;
  for (const NpyArray& array : arrays) {
    const std::string data = npy_bytes(array), name = array.name + ".npy";
    require(data.size() < kLargestMember && offset < kLargestMember, "npz of less than 2 GiB");
    std::string common;  // in local header and directory: version, flags, method, time and day (1980), sizes, name
    append(common, 20, 2);
    append(common, 0, 2);
    append(common, kStored, 2);
    append(common, 0, 2);
    append(common, 0x21, 2);
    append(common, crc_of(data.data(), data.size()), 4);
    append(common, data.size(), 4);
    append(common, data.size(), 4);
    append(common, name.size(), 2);
    append(common, 0, 2);
    std::string local;
    append(local, kLocalSignature, 4);
    local += common + name;
    file.write(local);
    file.write(data);
    append(directory, kEntrySignature, 4);
    append(directory, 20, 2);
    directory += common;
    append(directory, 0, 6);  // no comment, disk 0, no attributes
    append(directory, 0, 4);
    append(directory, offset, 4);
    directory += name;
    offset += local.size() + data.size();
  }
  std::string end;
  append(end, kEndSignature, 4);
  append(end, 0, 4);
  append(end, arrays.size(), 2);
  append(end, arrays.size(), 2);
  append(end, directory.size(), 4);
  append(end, offset, 4);
  append(end, 0, 2);
  file.write(directory + end);
  file.commit();
}

}  // namespace poise
