#include "data/decode_jpeg.h"

#include <stdexcept>
#include <string>

#ifdef POISE_HAVE_LIBJPEG
#include <csetjmp>
#include <cstdio>
// After <cstdio>, which it does not include.
#include <jpeglib.h>

namespace poise {
namespace {

// libjpeg reports errors by a function that must not return; ours jumps back over its frames, which are plain C.
struct ErrorManager {
  jpeg_error_mgr base;
  std::jmp_buf back;
  char text[JMSG_LENGTH_MAX];
};

void give_up(j_common_ptr info) {
  auto* manager = reinterpret_cast<ErrorManager*>(info->err);
  manager->base.format_message(info, manager->text);
  std::longjmp(manager->back, 1);
}

// Nothing in here has a destructor that a jump would skip. rgb: [height, width, 3], as the header says.
bool decode_into(std::span<const uint8_t> bytes, const PictureHeader& header, uint8_t* rgb, ErrorManager& errors) {
  jpeg_decompress_struct info;
  info.err = jpeg_std_error(&errors.base);
  errors.base.error_exit = give_up;
  errors.base.output_message = [](j_common_ptr) {};  // warnings of damage that decoders get over
  errors.text[0] = '\0';
  if (setjmp(errors.back)) {
    jpeg_destroy_decompress(&info);
    return false;
  }
  jpeg_create_decompress(&info);
  jpeg_mem_src(&info, bytes.data(), bytes.size());
  jpeg_read_header(&info, TRUE);
  info.out_color_space = JCS_RGB;
  jpeg_start_decompress(&info);
  const bool as_promised = info.output_width == header.width && info.output_height == header.height;
  if (as_promised) {
    while (info.output_scanline < info.output_height) {
      JSAMPROW row = rgb + static_cast<size_t>(info.output_scanline) * info.output_width * 3;
      jpeg_read_scanlines(&info, &row, 1);
    }
  }
  jpeg_destroy_decompress(&info);
  return as_promised;
}

}  // namespace

Picture decode_jpeg(std::span<const uint8_t> bytes, const PictureHeader& header) {
  Picture picture{.height = header.height, .width = header.width};
  picture.rgb.resize(static_cast<size_t>(3 * header.height * header.width));
  ErrorManager errors;
  if (!decode_into(bytes, header, picture.rgb.data(), errors)) {
    throw std::runtime_error(std::string("it cannot be decoded: ") +
                             (errors.text[0] ? errors.text : "it has two headers that differ"));
  }
  return picture;
}

}  // namespace poise
#else
namespace poise {

Picture decode_jpeg(std::span<const uint8_t>, const PictureHeader&) {
  throw std::logic_error("this build has no libjpeg");
}

}  // namespace poise
#endif
