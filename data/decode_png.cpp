#include "data/decode_png.h"

#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "data/decode_picture.h"

namespace poise {
namespace {

struct Reading {
  std::span<const uint8_t> rest;
  char text[200] = "";
};

void give_up(png_structp png, png_const_charp words) {
  auto* reading = static_cast<Reading*>(png_get_error_ptr(png));
  std::strncpy(reading->text, words, sizeof reading->text - 1);
  png_longjmp(png, 1);
}

void read_bytes(png_structp png, png_bytep to, size_t count) {
  auto* reading = static_cast<Reading*>(png_get_io_ptr(png));
  if (count > reading->rest.size()) png_error(png, "it ends too early");
  std::copy_n(reading->rest.begin(), count, to);
  reading->rest = reading->rest.subspan(count);
}

// No variable here has a destructor that a jump would skip. rows: [height] pointers to [width, 3].
bool decode_into(const PictureHeader& header, png_bytepp rows, Reading& reading) {
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reading, give_up, [](png_structp, png_const_charp) {
  });  // ignore warnings about recoverable damage
  png_infop info = png ? png_create_info_struct(png) : nullptr;
  if (!info || setjmp(png_jmpbuf(png))) {
    png_destroy_read_struct(&png, &info, nullptr);
    return false;
  }
  png_set_read_fn(png, &reading, read_bytes);
  png_set_user_limits(png, kMostSide, kMostSide);
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);  // never decompress texts and profiles
  png_read_info(png, info);
  png_set_expand(png);       // palettes to colours, fewer bits to 8
  png_set_strip_16(png);     // keep the upper 8
  png_set_strip_alpha(png);  // colours as stored, without a background
  png_set_gray_to_rgb(png);
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
  const bool as_promised = png_get_image_width(png, info) == header.width &&
                           png_get_image_height(png, info) == header.height &&
                           png_get_rowbytes(png, info) == static_cast<size_t>(3 * header.width);
  if (as_promised) {
    png_read_image(png, rows);
    png_read_end(png, nullptr);
  }
  png_destroy_read_struct(&png, &info, nullptr);
  return as_promised;
}

}  // namespace

std::string png_library() { return "libpng " PNG_LIBPNG_VER_STRING; }

Picture decode_png(std::span<const uint8_t> bytes, const PictureHeader& header) {
  Picture picture{.height = header.height, .width = header.width};
  picture.rgb.resize(static_cast<size_t>(3 * header.height * header.width));
  std::vector<png_bytep> rows;
  for (int64_t y = 0; y < header.height; ++y) rows.push_back(picture.rgb.data() + y * header.width * 3);
  Reading reading{.rest = bytes};
  if (!decode_into(header, rows.data(), reading)) {
    throw std::runtime_error(std::string("it cannot be decoded: ") +
                             (reading.text[0] ? reading.text : "it has two headers that differ"));
  }
  return picture;
}

}  // namespace poise
