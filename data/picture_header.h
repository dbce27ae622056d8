// Reads the header of an encoded picture and checks that the file is complete. Nothing is decoded.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace poise {

enum class PictureFormat : uint8_t { png, jpeg, bmp };

struct PictureHeader {
  PictureFormat format = PictureFormat::png;
  int64_t height = 0, width = 0;
  int components = 0;  // of a JPEG: 1 for grey, 3 for colours, 4 for inks
};

// std::runtime_error for anything that decode_picture() refuses.
PictureHeader read_picture_header(std::span<const uint8_t> bytes);

// The number of leading bytes that identify a format.
constexpr size_t kBytesThatTell = 16;
// True for the beginning of a PNG, JPEG or BMP.
bool begins_as_picture(std::span<const uint8_t> bytes);
// The format of a picture that Poise does not read, by its first bytes: "a GIF"; "" for anything else.
std::string other_picture_format(std::span<const uint8_t> bytes);

// Rewrites a BMP whose header has been read for stb_image: with a header that it supports, only a palette before the
// pixels, and the palette filled up with black to 256 colours, since stb_image does not check pixels against its size.
std::vector<uint8_t> plain_bmp(std::span<const uint8_t> bytes);

}  // namespace poise
