// A cache of decoded and resized image sets, stored as files of raw bytes. Deleting them only costs time.
//
// A file: 16 bytes "poise.images/1", then int64 count, side, number of classes, whether there are labels (0 or 1), crc;
// 8 bytes of zeros; from byte 64 the pixels [count, side, side, 3]; labels int32 [count]; class names, each with a
// newline. Little-endian. A "content-STAMP.txt" next to it saves reading unchanged files again.
#pragma once
#include <optional>
#include <string>

#include "data/image_source.h"

namespace poise {

// Where a set of this content (image_source.h) and size is stored in the cache. Its pixels depend only on the
// content, the size and the decoders; names, places and times of files do not count.
std::string cache_path(const std::string& cache_folder, const ImageSource& source, int64_t side,
                       const std::string& content);

// The content of a set with this stamp (image_source.h), as recorded by an earlier run; "" if there is no record.
std::string known_content(const std::string& cache_folder, const std::string& stamp);
// Records the content for later runs. It is not an error if this fails.
void keep_content(const std::string& cache_folder, const std::string& stamp, const std::string& content);

// True if the cache may have this set, that is, any set of this name, size and number of pictures.
bool cache_may_have(const std::string& cache_folder, const ImageSource& source, int64_t side);

// Returns nothing if the file does not exist or is invalid in any way, including its crc. Error(environment) if it
// cannot be read.
std::optional<ImageSet> read_cached(const std::string& path, const ImageSource& source, int64_t side);

// Writes atomically and creates the folder. Error(runtime) if this fails.
void write_cached(const std::string& path, const ImageSet& set);

}  // namespace poise
