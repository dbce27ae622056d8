#include "data/image_set.h"

#include <zlib.h>

namespace poise {

uint32_t crc_of(const ImageSet& set) {
  uLong crc = crc32_z(0, set.pixels.data(), set.pixels.size());
  if (!set.labels.empty()) {
    crc = crc32_z(crc, reinterpret_cast<const Bytef*>(set.labels.data()), set.labels.size() * sizeof(set.labels[0]));
  }
  return static_cast<uint32_t>(crc);
}

}  // namespace poise
