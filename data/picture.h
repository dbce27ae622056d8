// A picture in its original size, as RGB bytes with rows from the top, and its resizing.
#pragma once
#include <cstdint>
#include <vector>

namespace poise {

struct Picture {
  int64_t height = 0, width = 0;
  std::vector<uint8_t> rgb;  // [height, width, 3]
};

// The central square of the picture (offsets rounded down), resized to [side, side, 3] with the antialiased bilinear
// filter of Pillow, the library that the papers' data loaders use: a triangle that widens with the reduction, 22-bit
// fixed-point coefficients, the horizontal pass first, rounding to bytes between the passes. Equal to
// Image.resize(BILINEAR) bit for bit. A square that already has this side is copied.
void crop_and_resize(const Picture& picture, int64_t side, uint8_t* out);

}  // namespace poise
