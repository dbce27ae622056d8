// Untrusted image files: PNG, JPEG and BMP, recognised by their first bytes, whatever the file is
// called. PNGs are decoded by libpng, JPEGs by libjpeg-turbo, BMPs by stb_image.
//
// Headers are judged before anything is decoded: extents, size of what is to come, and that the file is whole (the
// checksum of every PNG chunk, the end marker of a JPEG, the rows of a BMP). Converted: grey to RGB, palettes (a colour
// beyond the palette is black), 16 bits to the upper 8, transparency dropped, CMYK. Refused: everything else, animated
// PNGs among it. The orientation that cameras note in EXIF is not applied, as in the papers' loaders. The pixels depend
// on the bytes alone, whatever is damaged in them: no byte comes from uninitialised memory.
#pragma once
#include <span>
#include <string>

#include "data/picture.h"

namespace poise {

// A picture may have at most 32768 pixels a side and 64 Mi of them.
constexpr int64_t kMostSide = 32768, kMostPixels = int64_t{1} << 26;

// Throws std::runtime_error saying what was expected and found, without the name of the file.
Picture decode_picture(std::span<const uint8_t> bytes);

// Who decodes, with their versions: pixels may differ in single grey levels from one to the next.
std::string picture_decoders();

}  // namespace poise
