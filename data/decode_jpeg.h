// JPEGs by libjpeg-turbo, about twice as fast as stb_image; where the build has found it.
#pragma once
#include "data/picture.h"
#include "data/picture_header.h"

namespace poise {

#ifdef POISE_HAVE_LIBJPEG
constexpr bool kHaveLibjpeg = true;
#else
constexpr bool kHaveLibjpeg = false;
#endif

// A grey or RGB JPEG whose header was read. std::runtime_error with libjpeg's own words if it is damaged.
Picture decode_jpeg(std::span<const uint8_t> bytes, const PictureHeader& header);

}  // namespace poise
