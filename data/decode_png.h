// PNGs by libpng.
#pragma once
#include <span>
#include <string>

#include "data/picture.h"
#include "data/picture_header.h"

namespace poise {

// A PNG whose header and checksums were read. std::runtime_error with libpng's own words if it is damaged. A pixel that
// names a colour beyond the palette is black.
Picture decode_png(std::span<const uint8_t> bytes, const PictureHeader& header);

std::string png_library();  // "libpng 1.6.39"

}  // namespace poise
