#include "data/decode_picture.h"

#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <vector>

#include "data/decode_jpeg.h"
#include "data/decode_png.h"
#include "data/picture_header.h"

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_BMP
#define STBI_NO_STDIO
#define STBI_FAILURE_USERMSG
#define STBI_MAX_DIMENSIONS 32768
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#include <stb/stb_image.h>
#pragma GCC diagnostic pop

namespace poise {
namespace {

Picture decode_bmp(std::span<const uint8_t> bytes, const PictureHeader& header) {
  const std::vector<uint8_t> plain = plain_bmp(bytes);
  int width = 0, height = 0, channels = 0;
  const std::unique_ptr<stbi_uc, void (*)(void*)> pixels(
      stbi_load_from_memory(plain.data(), static_cast<int>(plain.size()), &width, &height, &channels, 3),
      stbi_image_free);
  if (!pixels) throw std::runtime_error(std::string("it cannot be decoded: ") + stbi_failure_reason());
  if (width != header.width || height != header.height) throw std::runtime_error("it has two headers that differ");
  return {.height = height, .width = width, .rgb = {pixels.get(), pixels.get() + int64_t{3} * height * width}};
}

}  // namespace

std::string picture_decoders() { return png_library() + ", " + jpeg_library() + ", stb_image"; }

Picture decode_picture(std::span<const uint8_t> bytes) {
  if (bytes.size() > (size_t{1} << 30)) throw std::runtime_error("expected a file of at most 1 GiB");
  const PictureHeader header = read_picture_header(bytes);
  switch (header.format) {
    case PictureFormat::png:
      return decode_png(bytes, header);
    case PictureFormat::jpeg:
      return decode_jpeg(bytes, header);
    case PictureFormat::bmp:
      break;
  }
  return decode_bmp(bytes, header);
}

}  // namespace poise
