// One picture as its file has it: RGB bytes, rows from the top. Its resizing.
#pragma once
#include <cstdint>
#include <vector>

namespace poise {

struct Picture {
  int64_t height = 0, width = 0;
  std::vector<uint8_t> rgb;  // [height, width, 3]
};

// The central square of the picture (offsets rounded down), resized to [side, side, 3] with the antialiased bilinear
// filter of Pillow, the library that the papers' data loaders use: a triangle as wide as the reduction, coefficients in
// fixed point of 22 bits, columns first, rounded to bytes between the passes. Equal to Image.resize(BILINEAR) bit for
// bit. A square of this side is copied.
void crop_and_resize(const Picture& picture, int64_t side, uint8_t* out);

}  // namespace poise
