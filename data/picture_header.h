// What the first bytes of an encoded picture promise, and whether the rest is there. Nothing is decoded.
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
  int components = 0;  // of a JPEG: grey 1, colours 3, inks 4
};

// std::runtime_error for anything that decode_picture() refuses.
PictureHeader read_picture_header(std::span<const uint8_t> bytes);

// How many first bytes tell a file's format.
constexpr size_t kBytesThatTell = 16;
// Is this the beginning of a PNG, JPEG or BMP?
bool begins_as_picture(std::span<const uint8_t> bytes);
// The beginning of a picture in a format that Poise does not read: "a GIF"; "" for anything else.
std::string other_picture_format(std::span<const uint8_t> bytes);

// A BMP whose header was read, as stb_image reads it whole: with a header that it knows, nothing between header and
// pixels but a palette, and that filled up with black to 256 colours, since it does not ask whether a pixel's is in it.
std::vector<uint8_t> plain_bmp(std::span<const uint8_t> bytes);

}  // namespace poise
