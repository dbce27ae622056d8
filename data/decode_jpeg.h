// JPEGs by libjpeg-turbo.
#pragma once
#include <span>

#include "data/picture.h"
#include "data/picture_header.h"

namespace poise {

// A grey, RGB or CMYK JPEG whose header was read. std::runtime_error with libjpeg's own words if it is damaged. Where
// coefficients are missing they are 0, so what was not sent is grey. Inks become colours as in Pillow: they are taken for
// inverted, as Adobe stores them, with a marker or without.
Picture decode_jpeg(std::span<const uint8_t> bytes, const PictureHeader& header);

std::string jpeg_library();  // "libjpeg-turbo 2.1.5"

}  // namespace poise
