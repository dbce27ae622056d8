#include "data/decode_picture.h"

#include <cstdlib>
#include <memory>
#include <stdexcept>

#include "data/decode_jpeg.h"
#include "data/picture_header.h"

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_BMP
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#define STBI_FAILURE_USERMSG
#define STBI_MAX_DIMENSIONS 32768
#include <stb/stb_image.h>

namespace poise {
namespace {

Picture decode_by_stb(std::span<const uint8_t> bytes, const PictureHeader& header) {
  int width = 0, height = 0, channels = 0;
  const std::unique_ptr<stbi_uc, void (*)(void*)> pixels(
      stbi_load_from_memory(bytes.data(), static_cast<int>(bytes.size()), &width, &height, &channels, 3),
      stbi_image_free);
  if (!pixels) throw std::runtime_error(std::string("it cannot be decoded: ") + stbi_failure_reason());
  if (width != header.width || height != header.height) throw std::runtime_error("it has two headers that differ");
  return {.height = height, .width = width, .rgb = {pixels.get(), pixels.get() + int64_t{3} * height * width}};
}

}  // namespace

std::string jpeg_decoder() { return kHaveLibjpeg ? "libjpeg" : "stb_image"; }

Picture decode_picture(std::span<const uint8_t> bytes) {
  if (bytes.size() > (size_t{1} << 30)) throw std::runtime_error("expected a file of at most 1 GiB");
  const PictureHeader header = read_picture_header(bytes);
  // Inks (CMYK) are for stb_image: libjpeg leaves their conversion to its callers.
  if (kHaveLibjpeg && header.format == PictureFormat::jpeg && header.components != 4) return decode_jpeg(bytes, header);
  return decode_by_stb(bytes, header);
}

}  // namespace poise
