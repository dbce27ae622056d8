#include "data/picture_header.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string_view>

#include "data/decode_picture.h"

namespace poise {
namespace {

using Bytes = std::span<const uint8_t>;

[[noreturn]] void refuse(const std::string& why) { throw std::runtime_error(why); }

bool begins_with(Bytes bytes, std::string_view text, size_t at = 0) {
  return bytes.size() >= at + text.size() &&
         std::equal(text.begin(), text.end(), bytes.begin() + static_cast<ptrdiff_t>(at),
                    [](char a, uint8_t b) { return static_cast<uint8_t>(a) == b; });
}

uint32_t big_endian(Bytes bytes, size_t at, int count) {
  uint32_t value = 0;
  for (int i = 0; i < count; ++i) value = value << 8 | bytes[at + static_cast<size_t>(i)];
  return value;
}

uint32_t little_endian(Bytes bytes, size_t at, int count) {
  uint32_t value = 0;
  for (int i = count - 1; i >= 0; --i) value = value << 8 | bytes[at + static_cast<size_t>(i)];
  return value;
}

// A chunk has a length, a type, content, and a checksum of type and content.
PictureHeader png_header(Bytes bytes) {
  PictureHeader header{.format = PictureFormat::png};
  size_t at = 8;
  for (bool first = true;; first = false) {
    if (bytes.size() - at < 12) refuse("truncated PNG: its last chunk is missing");
    const size_t length = big_endian(bytes, at, 4);
    if (bytes.size() - at - 12 < length) refuse("truncated PNG: a chunk extends past the end of the file");
    const uLong crc = crc32_z(0, bytes.data() + at + 4, length + 4);
    if (crc != big_endian(bytes, at + 8 + length, 4)) refuse("damaged PNG: the checksum of a chunk does not match");
    const Bytes chunk = bytes.subspan(at + 4, length + 4);
    if (first) {
      if (!begins_with(chunk, "IHDR") || length != 13) refuse("damaged PNG: it does not begin with a header");
      header.width = big_endian(chunk, 4, 4);
      header.height = big_endian(chunk, 8, 4);
    }
    if (begins_with(chunk, "acTL")) refuse("expected one picture, found an animated PNG");
    if (begins_with(chunk, "IEND")) return header;
    at += length + 12;
  }
}

// A table of Huffman codes has class and id, the numbers of codes of 16 lengths, and that many symbols. More than 256
// are invalid, which some decoders do not check.
void check_huffman_tables(Bytes segment) {
  for (size_t at = 0; at < segment.size();) {
    if (segment.size() - at < 17) refuse("damaged JPEG: a Huffman table is too short");
    size_t symbols = 0;
    for (size_t length = 1; length <= 16; ++length) symbols += segment[at + length];
    if (symbols > 256 || segment.size() - at - 17 < symbols) refuse("damaged JPEG: a Huffman table has too many codes");
    at += 17 + symbols;
  }
}

void read_frame(Bytes segment, uint8_t marker, PictureHeader& header) {
  if (marker != 0xc0 && marker != 0xc1 && marker != 0xc2) {
    refuse("expected a baseline or progressive JPEG, found a lossless, hierarchical or arithmetic-coded one");
  }
  if (segment.size() < 6) refuse("damaged JPEG: its header is too short");
  if (header.components > 0) refuse("damaged JPEG: it has two headers");
  if (segment[0] != 8) refuse(fmt::format("expected 8 bits in a JPEG, found {}", segment[0]));
  header.height = big_endian(segment, 1, 2);
  header.width = big_endian(segment, 3, 2);
  header.components = segment[5];
  if (header.components != 1 && header.components != 3 && header.components != 4) {
    refuse(fmt::format("expected 1, 3 or 4 colours in a JPEG, found {}", header.components));
  }
}

// Reads segments up to the end marker: FF, marker, length (including itself), content. The segment that begins a scan
// is followed by compressed data, where FF is followed by 0 or is part of a restart marker.
PictureHeader jpeg_header(Bytes bytes) {
  PictureHeader header{.format = PictureFormat::jpeg};
  constexpr int kMostScans = 500;  // progressive ones have about ten; thousands keep a decoder busy for hours
  int scans = 0;
  for (size_t at = 2;;) {
    const void* next = at < bytes.size() ? std::memchr(bytes.data() + at, 0xff, bytes.size() - at) : nullptr;
    if (!next) refuse("truncated JPEG: its end marker is missing");
    at = static_cast<size_t>(static_cast<const uint8_t*>(next) - bytes.data()) + 1;
    while (at < bytes.size() && bytes[at] == 0xff) ++at;
    if (at == bytes.size()) refuse("truncated JPEG: its end marker is missing");
    const uint8_t marker = bytes[at++];
    if (marker <= 1 || (marker >= 0xd0 && marker <= 0xd8)) continue;  // these have no content
    if (marker == 0xd9) break;
    if (bytes.size() - at < 2) refuse("truncated JPEG: its end marker is missing");
    const size_t length = big_endian(bytes, at, 2);
    if (length < 2 || length > bytes.size() - at) refuse("truncated JPEG: a segment extends past the end of the file");
    const Bytes segment = bytes.subspan(at + 2, length - 2);
    if (marker == 0xc4) {
      check_huffman_tables(segment);
    } else if (marker == 0xda) {
      if (++scans > kMostScans) refuse(fmt::format("damaged JPEG: it has more than {} scans", kMostScans));
    } else if (marker >= 0xc0 && marker <= 0xcf && marker != 0xc8 && marker != 0xcc) {
      read_frame(segment, marker, header);
    }
    at += length;
  }
  if (scans == 0 || header.components == 0) refuse("damaged JPEG: it ends before its picture data");
  return header;
}

PictureHeader bmp_header(Bytes bytes) {
  PictureHeader header{.format = PictureFormat::bmp};
  if (bytes.size() < 30) refuse("truncated BMP: its header is missing");
  const uint32_t pixels_at = little_endian(bytes, 10, 4), header_bytes = little_endian(bytes, 14, 4);
  int64_t bits = 0;
  // Decoders do not detect a missing palette if its computed size is negative.
  if (pixels_at < int64_t{14} + header_bytes) refuse("damaged BMP: its pixels begin inside its header");
  if (header_bytes == 12) {
    header.width = little_endian(bytes, 18, 2);
    header.height = little_endian(bytes, 20, 2);
    bits = little_endian(bytes, 24, 2);
  } else {
    if (bytes.size() < 54 || header_bytes < 40 || header_bytes > 1000) refuse("damaged BMP: its header is invalid");
    header.width = static_cast<int32_t>(little_endian(bytes, 18, 4));
    header.height = std::abs(int64_t{static_cast<int32_t>(little_endian(bytes, 22, 4))});  // negative: from the top
    bits = little_endian(bytes, 28, 2);
    const uint32_t compression = little_endian(bytes, 30, 4);
    if (compression != 0 && compression != 3) refuse("expected an uncompressed BMP, found a compressed one");
  }
  if (bits != 1 && bits != 4 && bits != 8 && bits != 16 && bits != 24 && bits != 32) {
    refuse(fmt::format("expected 1, 4, 8, 16, 24 or 32 bits per pixel in a BMP, found {}", bits));
  }
  const int64_t rows = (header.width * bits + 31) / 32 * 4 * header.height;
  if (header.width > 0 && header.width <= kMostSide && header.height <= kMostSide &&
      static_cast<int64_t>(pixels_at) + rows > static_cast<int64_t>(bytes.size())) {
    refuse("truncated BMP: rows are missing");
  }
  return header;
}

// Describes a file in none of the three formats.
std::string name_of_other(Bytes bytes) {
  if (bytes.empty()) return "an empty file";
  if (const std::string name = other_picture_format(bytes); !name.empty()) return name + "; convert or remove it";
  if (begins_with(bytes, "%PDF")) return "a PDF";
  if (begins_with(bytes, "<")) return "a web page";
  if (begins_with(bytes, "version https://git-lfs")) return "a Git LFS pointer (fetch the file with git lfs pull)";
  return fmt::format("bytes that begin {:02x}", fmt::join(bytes.first(std::min<size_t>(bytes.size(), 4)), " "));
}

constexpr std::string_view kPng = "\x89PNG\r\n\x1a\n", kJpeg = "\xff\xd8\xff", kBmp = "BM";

PictureHeader header_of(Bytes bytes) {
  if (begins_with(bytes, kPng)) return png_header(bytes);
  if (begins_with(bytes, kJpeg)) return jpeg_header(bytes);
  if (begins_with(bytes, kBmp)) return bmp_header(bytes);
  refuse("expected a PNG, JPEG or BMP, found " + name_of_other(bytes));
}

}  // namespace

PictureHeader read_picture_header(Bytes bytes) {
  const PictureHeader header = header_of(bytes);
  if (header.width < 1 || header.height < 1 || header.width > kMostSide || header.height > kMostSide ||
      header.width * header.height > kMostPixels) {
    refuse(fmt::format("expected 1 to {} pixels a side and at most {} in total, found {}x{}", kMostSide, kMostPixels,
                       header.width, header.height));
  }
  return header;
}

bool begins_as_picture(Bytes bytes) {
  // The two letters of a BMP are weak evidence, so the reserved bytes of its header must be zero as well.
  const bool bmp = begins_with(bytes, kBmp) && bytes.size() >= kBytesThatTell && big_endian(bytes, 6, 4) == 0;
  return bmp || begins_with(bytes, kPng) || begins_with(bytes, kJpeg);
}

std::string other_picture_format(Bytes bytes) {
  using namespace std::string_view_literals;  // one string contains a zero
  constexpr struct {
    const char* name;
    std::string_view begin;
    size_t at;
  } formats[] = {{"a GIF", "GIF8", 0},       {"a WebP", "WEBP", 8},
                 {"a TIFF", "II*", 0},       {"a TIFF", "MM\0*"sv, 0},
                 {"a HEIF", "ftyphei", 4},   {"a HEIF", "ftypmif", 4},
                 {"an AVIF", "ftypavi", 4},  {"a JPEG 2000", "\xff\x4f\xff\x51", 0},
                 {"a JPEG 2000", "jP  ", 4}, {"a JPEG XL", "\xff\x0a", 0},
                 {"a JPEG XL", "JXL ", 4}};
  for (const auto& format : formats) {
    if (begins_with(bytes, format.begin, format.at)) return format.name;
  }
  return "";
}

std::vector<uint8_t> plain_bmp(Bytes bytes) {
  constexpr size_t kFile = 14, kInfo = 40;  // the file header, and the info header that all later ones begin with
  std::vector<uint8_t> plain(bytes.begin(), bytes.end());
  const auto read = [&](size_t at, int count) { return little_endian(plain, at, count); };
  size_t pixels = read(10, 4), header = read(kFile, 4);
  const auto replace = [&](size_t begin, size_t end, size_t zeros) {
    plain.erase(plain.begin() + static_cast<ptrdiff_t>(begin), plain.begin() + static_cast<ptrdiff_t>(end));
    plain.insert(plain.begin() + static_cast<ptrdiff_t>(begin), zeros, 0);
    pixels = pixels - (end - begin) + zeros;
    for (size_t i = 0; i < 4; ++i) plain[10 + i] = static_cast<uint8_t>(pixels >> (8 * i));
  };
  const bool masks = header > 12 && read(30, 4) == 3;
  if (pixels > plain.size() || pixels < kFile + header) return plain;
  // 52 bytes: includes the colour masks, which follow a header of 40 bytes at the same place. 64 bytes: OS/2.
  if (header == 52 || header == 64) {
    if (header == 64 || !masks) replace(kFile + kInfo, kFile + header, 0);
    header = kInfo;
    plain[kFile] = kInfo;
  }
  const size_t begin = kFile + header + (masks && header == kInfo ? 12 : 0);
  if (pixels < begin) return plain;
  if (read(header == 12 ? 24 : 28, 2) > 8) {  // no palette: drop what is in between
    replace(begin, pixels, 0);
    return plain;
  }
  const size_t entry = header == 12 ? 3 : 4, colours = 256, there = std::min((pixels - begin) / entry, colours);
  if (there > 0) replace(begin + there * entry, pixels, (colours - there) * entry);
  return plain;
}

}  // namespace poise
