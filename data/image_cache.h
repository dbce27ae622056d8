// Sets of images that were decoded and resized once, kept as files of raw bytes. Whoever deletes them loses time only.
//
// A file: 16 bytes "poise.images/1", then int64 count, side, number of classes, whether there are labels (0 or 1), crc;
// 8 bytes of zeros; from byte 64 the pixels [count, side, side, 3]; labels int32 [count]; class names, each with a
// newline. Little-endian.
#pragma once
#include <optional>
#include <string>

#include "data/image_source.h"

namespace poise {

// Where a set of this size lies in the cache: the name says of which set and size it is, and holds the MD5 of all that
// the pixels depend on: the files' names, sizes and times, the size asked for, the decoder.
std::string cache_path(const std::string& cache_folder, const ImageSource& source, int64_t side);

// Nothing if there is no such file, or if anything about it is wrong, its crc included.
std::optional<ImageSet> read_cached(const std::string& path, const ImageSource& source, int64_t side);

// To a temporary file, synced and renamed; creates the folder. False if that does not succeed: a full disk, or no right
// to write, is no reason not to train.
bool write_cached(const std::string& path, const ImageSet& set);

}  // namespace poise
