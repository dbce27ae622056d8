// A data set in host memory, ready to be copied to a device: uint8, NHWC, independent of the layout of the files.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace poise {

struct ImageSet {
  std::string name;    // "cifar10"
  std::string source;  // the folder it was read from
  int64_t count = 0, height = 0, width = 0, channels = 0;
  std::vector<uint8_t> pixels;           // [count, height, width, channels]
  std::vector<int32_t> labels;           // [count], 0-based; empty if the set has no classes
  std::vector<std::string> class_names;  // empty as well in this case
  uint32_t crc = 0;                      // of pixels and labels; recorded in a run, compared on resume
  std::vector<std::string> warnings;     // files that were skipped or differ from those published
  std::string resize = "none";           // how pictures became this size: "none", kCropAndResize
};

// The name of crop_and_resize() (picture.h) in evaluation protocols.
constexpr const char* kCropAndResize = "crop, antialiased bilinear";

uint32_t crc_of(const ImageSet& set);

// Keeps only the images of these classes, in their original order. Labels and names follow the order of `classes`.
// Error(usage) for a set without classes.
void keep_classes(ImageSet& set, const std::vector<int32_t>& classes);

}  // namespace poise
