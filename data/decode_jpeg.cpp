#include "data/decode_jpeg.h"

#include <csetjmp>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>
// Must follow <cstdio>, which it does not include.
#include <jpeglib.h>

namespace poise {
namespace {

// libjpeg reports errors through a function that must not return. Ours jumps back over libjpeg's frames, which are C.
struct ErrorManager {
  jpeg_error_mgr base{};
  std::jmp_buf back{};
  char text[JMSG_LENGTH_MAX] = "";
};

void give_up(j_common_ptr info) {
  auto* manager = reinterpret_cast<ErrorManager*>(info->err);
  manager->base.format_message(info, manager->text);
  std::longjmp(manager->back, 1);
}

// No variable here has a destructor that a jump would skip. rows: [height, width, channels], as given by the header.
bool decode_into(std::span<const uint8_t> bytes, const PictureHeader& header, int channels, uint8_t* rows,
                 ErrorManager& errors) {
  jpeg_decompress_struct info{};
  info.err = jpeg_std_error(&errors.base);
  errors.base.error_exit = give_up;
  errors.base.output_message = [](j_common_ptr) {};  // ignore warnings about recoverable damage
  if (setjmp(errors.back)) {
    jpeg_destroy_decompress(&info);
    return false;
  }
  jpeg_create_decompress(&info);
  jpeg_mem_src(&info, bytes.data(), bytes.size());
  jpeg_read_header(&info, TRUE);
  info.out_color_space = channels == 4 ? JCS_CMYK : JCS_RGB;
  jpeg_start_decompress(&info);
  const bool as_promised =
      info.output_width == header.width && info.output_height == header.height && info.output_components == channels;
  if (as_promised) {
    while (info.output_scanline < info.output_height) {
      JSAMPROW row =
          rows + static_cast<size_t>(info.output_scanline) * info.output_width * static_cast<size_t>(channels);
      jpeg_read_scanlines(&info, &row, 1);
    }
  }
  jpeg_destroy_decompress(&info);
  return as_promised;
}

// The light that remains after an ink and black, both stored inverted: ink * black / 255, rounded.
uint8_t light(int ink, int black) {
  const int rest = (255 - ink) * black + 128;
  return static_cast<uint8_t>(black - (((rest >> 8) + rest) >> 8));
}

std::vector<uint8_t> colours_of(const std::vector<uint8_t>& inks) {
  std::vector<uint8_t> rgb;
  rgb.reserve(inks.size() / 4 * 3);
  for (size_t i = 0; i < inks.size(); i += 4) {
    for (size_t c = 0; c < 3; ++c) rgb.push_back(light(inks[i + c], inks[i + 3]));
  }
  return rgb;
}

#define POISE_TEXT_OF(x) #x
#define POISE_TEXT(x) POISE_TEXT_OF(x)

}  // namespace

std::string jpeg_library() {
#ifdef LIBJPEG_TURBO_VERSION
  return "libjpeg-turbo " POISE_TEXT(LIBJPEG_TURBO_VERSION);
#else
  return "libjpeg " POISE_TEXT(JPEG_LIB_VERSION);
#endif
}

Picture decode_jpeg(std::span<const uint8_t> bytes, const PictureHeader& header) {
  const int channels = header.components == 4 ? 4 : 3;
  std::vector<uint8_t> rows(static_cast<size_t>(channels * header.height * header.width));
  ErrorManager errors;
  if (!decode_into(bytes, header, channels, rows.data(), errors)) {
    throw std::runtime_error(std::string("it cannot be decoded: ") +
                             (errors.text[0] ? errors.text : "it has two headers that differ"));
  }
  return {.height = header.height, .width = header.width, .rgb = channels == 4 ? colours_of(rows) : std::move(rows)};
}

}  // namespace poise
