// What the first bytes of an encoded picture promise, and whether the rest is there. Nothing is decoded.
#pragma once
#include <cstdint>
#include <span>

namespace poise {

enum class PictureFormat : uint8_t { png, jpeg, bmp };

struct PictureHeader {
  PictureFormat format = PictureFormat::png;
  int64_t height = 0, width = 0;
  int components = 0;  // of a JPEG: grey 1, colours 3, inks 4
};

// std::runtime_error for anything that decode_picture() refuses.
PictureHeader read_picture_header(std::span<const uint8_t> bytes);

}  // namespace poise
