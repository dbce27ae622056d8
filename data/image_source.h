// The pictures of a data set as its files have them, one by one, before all get one size: what readers of sets whose
// images are not read in one go have in common.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "data/files.h"
#include "data/image_set.h"
#include "data/picture.h"

namespace poise {

class ImageSource {
 public:
  virtual ~ImageSource() = default;
  // Picture i < count. Called from several threads. Error(data) that names the file if it is of no use.
  virtual Picture picture(int64_t i) const = 0;

  std::string name, source;  // as in ImageSet
  int64_t count = 0;
  std::vector<int32_t> labels;           // [count], or empty
  std::vector<std::string> class_names;  // or empty
  std::string fingerprint;               // text that changes when a file does, without reading pictures
};

// How many of how many pictures are done. Called on the thread that waits for them, every so often and at the end.
using ReadProgress = std::function<void(int64_t done, int64_t total)>;

// The set that `source` becomes at this side, with black pixels and no crc yet.
ImageSet blank_images(const ImageSource& source, int64_t side);

// All pictures, cropped and resized to `side` (picture.h), on all threads. Error(data) that counts the pictures of no
// use and names the first three.
ImageSet prepare_images(const ImageSource& source, int64_t side, const ReadProgress& progress);

// A file that holds one encoded picture.
Picture read_picture(const DataSetFacts& set, const std::string& path);

}  // namespace poise
