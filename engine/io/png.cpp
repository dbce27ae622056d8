#include "engine/io/png.h"

#include <fmt/format.h>

#include <algorithm>
#include <new>
#include <vector>

#include "engine/io/atomic_file.h"
#include "kernels/core/error.h"
#include "kernels/core/integer.h"

// The one place that compiles stb_image_write: as static functions, so that they cannot clash with another copy in the
// process, and without stdio, because files go through AtomicFile.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wall"
#pragma GCC diagnostic ignored "-Wextra"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#include <stb/stb_image_write.h>
#pragma GCC diagnostic pop

namespace poise {
namespace {

constexpr int64_t kMostSide = 32768;  // stb counts in int
constexpr int64_t kMostBytes = int64_t{1} << 30;

void append(void* context, void* data, int size) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  auto& out = *static_cast<std::vector<uint8_t>*>(context);
  out.insert(out.end(), bytes, bytes + size);
}

// Checks the arguments of a caller.
void check_grid(const std::string& path, size_t bytes, const ImageGrid& grid) {
  const auto [n, h, w, c, columns, scale, padding] = grid;
  const auto within = [](int64_t value, int64_t least) { return value >= least && value <= kMostSide; };
  if (!within(n, 1) || !within(h, 1) || !within(w, 1) || (c != 1 && c != 3)) {
    fail(ErrorKind::usage, fmt::format("{}: an image grid expects images [N,H,W,C] with 1 to {} of each and C 1 or 3, "
                                       "got [{},{},{},{}]; change the images",
                                       path, kMostSide, n, h, w, c));
  }
  if (!within(columns, 1) || !within(scale, 1) || !within(padding, 0)) {
    fail(ErrorKind::usage, fmt::format("{}: an image grid expects columns and scale of at least 1 and padding of at "
                                       "least 0, got {}, {} and {}",
                                       path, columns, scale, padding));
  }
  // Each factor is at most 2^15, so a product of four fits; c is at most 3.
  if (bytes != static_cast<size_t>(n * h * w * c)) {
    fail(ErrorKind::usage, fmt::format("{}: an image grid of [{},{},{},{}] expects {} bytes, got {}", path, n, h, w, c,
                                       n * h * w * c, bytes));
  }
}

}  // namespace

void write_image_grid(const std::string& path, std::span<const uint8_t> pixels, const ImageGrid& of) {
  check_grid(path, pixels.size(), of);
  const auto [n, h, w, c, most_columns, scale, padding] = of;
  const int64_t columns = std::min(most_columns, n);
  const int64_t rows = ceil_div(n, columns);
  const int64_t cell_h = h * scale + padding, cell_w = w * scale + padding;
  const int64_t grid_h = rows * cell_h + padding, grid_w = columns * cell_w + padding;
  if (grid_h > kMostSide || grid_w > kMostSide || grid_h * grid_w * c > kMostBytes) {
    fail(ErrorKind::usage, fmt::format("{}: an image grid may have {} pixels a side and {} bytes, got {} x {} pixels; "
                                       "use fewer images, other columns or a smaller scale",
                                       path, kMostSide, kMostBytes, grid_w, grid_h));
  }
  try {
    std::vector<uint8_t> picture(static_cast<size_t>(grid_h * grid_w * c));  // [grid_h, grid_w, c]
    for (int64_t i = 0; i < n; ++i) {
      const int64_t top = padding + i / columns * cell_h, left = padding + i % columns * cell_w;
      for (int64_t y = 0; y < h * scale; ++y) {
        const uint8_t* from = pixels.data() + (i * h + y / scale) * w * c;
        uint8_t* to = picture.data() + ((top + y) * grid_w + left) * c;
        for (int64_t x = 0; x < w * scale; ++x) std::copy_n(from + x / scale * c, c, to + x * c);
      }
    }
    std::vector<uint8_t> png;
    if (!stbi_write_png_to_func(append, &png, static_cast<int>(grid_w), static_cast<int>(grid_h), static_cast<int>(c),
                                picture.data(), static_cast<int>(grid_w * c))) {
      throw std::bad_alloc();  // the only way in which it can fail
    }
    write_file_atomically(path, png.data(), png.size());
  } catch (const std::bad_alloc&) {
    fail(ErrorKind::runtime,
         fmt::format("{}: out of memory for a picture of {} x {} pixels; use fewer images", path, grid_w, grid_h));
  }
}

}  // namespace poise
