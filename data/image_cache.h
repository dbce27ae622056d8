// Sets of images that were decoded and resized once, kept as files of raw bytes. Deleting them costs only time.
//
// A file: 16 bytes "poise.images/1", then int64 count, side, number of classes, whether there are labels (0 or 1), crc;
// 8 bytes of zeros; from byte 64 the pixels [count, side, side, 3]; labels int32 [count]; class names, each with a
// newline. Little-endian. Beside them "content-STAMP.txt", so that files that have not changed need not be read again.
#pragma once
#include <optional>
#include <string>

#include "data/image_source.h"

namespace poise {

// Where a set of this content (image_source.h) and size is stored in the cache. The content is all that its pixels depend
// on in addition to the size and the decoders: no name, place or time of a file stands for it.
std::string cache_path(const std::string& cache_folder, const ImageSource& source, int64_t side,
                       const std::string& content);

// The content of a set with this stamp (image_source.h), as an earlier run read it; "" if none did.
std::string known_content(const std::string& cache_folder, const std::string& stamp);
// A courtesy to later runs: no error if it cannot be written.
void keep_content(const std::string& cache_folder, const std::string& stamp, const std::string& content);

// Can the cache have this set: is there any of this name, size and number of pictures?
bool cache_may_have(const std::string& cache_folder, const ImageSource& source, int64_t side);

// Nothing if there is no such file, or if anything about it is wrong, its crc included. Error(environment) if it cannot
// be read.
std::optional<ImageSet> read_cached(const std::string& path, const ImageSource& source, int64_t side);

// Atomic; creates the folder. Error(runtime) if that does not succeed.
void write_cached(const std::string& path, const ImageSet& set);

}  // namespace poise
