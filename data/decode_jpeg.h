// Decodes JPEGs with libjpeg-turbo.
#pragma once
#include <span>

#include "data/picture.h"
#include "data/picture_header.h"

namespace poise {

// Decodes a grey, RGB or CMYK JPEG whose header has been read. std::runtime_error with libjpeg's message if it is
// damaged. Missing coefficients count as 0, so missing parts are grey. CMYK becomes RGB as in Pillow: inks are assumed
// to be stored inverted, as Adobe does, with or without its marker.
Picture decode_jpeg(std::span<const uint8_t> bytes, const PictureHeader& header);

std::string jpeg_library();  // "libjpeg-turbo 2.1.5"

}  // namespace poise
