// Pictures of many images in a grid, as PNG. The bytes of the file depend on the pixels alone.
#pragma once
#include <cstdint>
#include <span>
#include <string>

namespace poise {

struct ImageGrid {
  int64_t count, height, width, channels;  // of the images; channels 1 or 3
  int64_t columns = 1;                     // images per row
  int64_t scale = 1;                       // each pixel is drawn as scale x scale pixels
  int64_t padding = 2;                     // black pixels around and between the images, not scaled
};

// pixels: [count, height, width, channels] uint8. Error(usage) if they and `grid` do not make a picture; otherwise the
// errors of write_file_atomically.
void write_image_grid(const std::string& path, std::span<const uint8_t> pixels, const ImageGrid& grid);

}  // namespace poise
