// Decodes PNGs with libpng.
#pragma once
#include <span>
#include <string>

#include "data/picture.h"
#include "data/picture_header.h"

namespace poise {

// Decodes a PNG whose header and checksums have been checked. std::runtime_error with libpng's message if it is
// damaged. Colours beyond the palette are black.
Picture decode_png(std::span<const uint8_t> bytes, const PictureHeader& header);

std::string png_library();  // "libpng 1.6.39"

}  // namespace poise
