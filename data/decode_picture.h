// Decodes untrusted image files: PNG (with libpng), JPEG (libjpeg-turbo) and BMP (stb_image), recognised by their first
// bytes regardless of the file name.
//
// Headers are checked before anything is decoded: dimensions, size of the content, and that the file is complete (the
// checksum of every PNG chunk, the end marker of a JPEG, the rows of a BMP). Converted: grey to RGB, palettes (a colour
// beyond the palette is black), 16 bits to the upper 8, transparency dropped, CMYK. Everything else is refused,
// including animated PNGs. EXIF orientation is not applied, as in the papers' loaders. Pixels depend on the file's
// bytes alone, even if these are damaged: no byte comes from uninitialised memory.
#pragma once
#include <span>
#include <string>

#include "data/picture.h"

namespace poise {

// A picture may have at most 32768 pixels per side and 64 Mi pixels in total.
constexpr int64_t kMostSide = 32768, kMostPixels = int64_t{1} << 26;

// Throws std::runtime_error saying what was expected and found, without the name of the file.
Picture decode_picture(std::span<const uint8_t> bytes);

// The decoders with their versions. Pixels may differ by single grey levels between versions.
std::string picture_decoders();

}  // namespace poise
