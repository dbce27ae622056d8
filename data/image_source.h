// Access to the pictures of a data set one by one, in their original sizes: the interface of readers that do not load a
// whole set at once.
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
  // The bytes of picture i < count; Error(data) names the file. Several threads may call bytes() and decode() at once.
  virtual std::vector<uint8_t> bytes(int64_t i) const = 0;
  // The picture in these bytes; Error(data) that names the file if it is unusable.
  virtual Picture decode(int64_t i, std::span<const uint8_t> bytes) const = 0;
  Picture picture(int64_t i) const { return decode(i, bytes(i)); }
  // Changes whenever a file of the set may have changed; "" if that is unknown without reading the files.
  virtual std::string stamp() const { return ""; }

  std::string name, source;  // as in ImageSet
  int64_t count = 0;
  std::vector<int32_t> labels;           // [count], or empty
  std::vector<std::string> class_names;  // or empty
  std::vector<std::string> warnings;     // as in ImageSet
};

// Receives the number of pictures done so far. Called on the waiting thread, at intervals and at the end.
using ReadProgress = std::function<void(int64_t done, int64_t total)>;

// The set of `source` with images of this side, but with black pixels and no crc yet.
ImageSet blank_images(const ImageSource& source, int64_t side);

// Decodes all pictures, cropped and resized to `side` (picture.h), on all threads. Error(data) that counts the unusable
// pictures and names the first three. `content`: receives the result of content_of().
ImageSet prepare_images(const ImageSource& source, int64_t side, const ReadProgress& progress,
                        std::string* content = nullptr);

// Identifies a set: an MD5 over the bytes of all pictures in order, the labels and the class names. Reads everything,
// which is cheap compared to decoding it.
std::string content_of(const ImageSource& source, const ReadProgress& progress);

// The stamp() of a set whose pictures are in these files: their inode numbers, sizes and times, including the time of
// last change (ctime), which no program can set. "" if a file changed so recently that another change might not show,
// cannot be examined, or is on a file system that takes these times from elsewhere.
std::string stamp_of(const ImageSource& source, const std::vector<std::string>& paths);

// The picture in a file's bytes; Error(data) that names the file.
Picture decode_named(const DataSetFacts& set, const std::string& path, std::span<const uint8_t> bytes);

}  // namespace poise
