// Pictures of many images in a grid, as PNG. Bytes depend on the pixels alone.
#pragma once
#include <cstdint>
#include <span>
#include <string>

namespace poise {

// pixels: [n,h,w,c] uint8, c = 1 or 3. `columns` images per row, each pixel drawn `scale` by `scale`, `padding` black
// pixels around and between the images (not scaled).
void write_image_grid(const std::string& path, std::span<const uint8_t> pixels, int64_t n, int64_t h, int64_t w,
                      int64_t c, int64_t columns, int64_t scale = 1, int64_t padding = 2);

}  // namespace poise
