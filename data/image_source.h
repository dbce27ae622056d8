// The pictures of a data set as its files have them, one by one, before all get one size: what readers of sets whose
// images are not read in one go have in common.
#pragma once
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "data/files.h"
#include "data/image_set.h"
#include "data/picture.h"

namespace poise {

class ImageSource {
 public:
  virtual ~ImageSource() = default;
  // Both for i < count, called from several threads. The bytes that picture i is made of; Error(data) names the file.
  virtual std::vector<uint8_t> bytes(int64_t i) const = 0;
  // The picture in them; Error(data) that names the file if it is of no use.
  virtual Picture decode(int64_t i, std::span<const uint8_t> bytes) const = 0;
  Picture picture(int64_t i) const { return decode(i, bytes(i)); }
  // Another one whenever a file of the set may have changed; "" if that cannot be told without reading them.
  virtual std::string stamp() const { return ""; }

  std::string name, source;  // as in ImageSet
  int64_t count = 0;
  std::vector<int32_t> labels;           // [count], or empty
  std::vector<std::string> class_names;  // or empty
  std::vector<std::string> warnings;     // as in ImageSet
};

// How many of how many pictures are done. Called on the thread that waits for them, every so often and at the end.
using ReadProgress = std::function<void(int64_t done, int64_t total)>;

// The set that `source` becomes at this side, with black pixels and no crc yet.
ImageSet blank_images(const ImageSource& source, int64_t side);

// All pictures, cropped and resized to `side` (picture.h), on all threads. Error(data) that counts the pictures of no
// use and names the first three. `content`: receives what content_of() gives.
ImageSet prepare_images(const ImageSource& source, int64_t side, const ReadProgress& progress,
                        std::string* content = nullptr);

// What identifies a set: the MD5 of the bytes of all pictures in their order, of labels and class names. Reads
// everything, which is cheap beside decoding it.
std::string content_of(const ImageSource& source, const ReadProgress& progress);

// The stamp() of a set whose pictures are in these files: numbers, sizes and times of the files, the time of their last
// change among them, which no program can set. "" if one was changed so lately that the next change might not show,
// cannot be looked at, or lies on a file system that takes such times from elsewhere.
std::string stamp_of(const ImageSource& source, const std::vector<std::string>& paths);

// The picture in a file's bytes; Error(data) that names the file.
Picture decode_named(const DataSetFacts& set, const std::string& path, std::span<const uint8_t> bytes);

}  // namespace poise
