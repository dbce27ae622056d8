// The records of the CIFAR files (binary versions): label bytes, then the red, green and blue planes of a 32x32 image,
// each row-major.
#pragma once
#include <span>

#include "data/files.h"
#include "data/image_set.h"

namespace poise {

struct CifarFormat {
  int64_t label_bytes = 1;  // the last of them is the label
  int64_t record_bytes() const { return label_bytes + 3 * 32 * 32; }
};

// An empty set of 32x32 images with room for `most_records`.
ImageSet empty_cifar_set(const std::string& name, const std::string& source, std::vector<std::string> class_names,
                         int64_t most_records);

// Error(data) unless the file has the size of `records` records, as the official file does.
void check_cifar_file(const DataSetFacts& set, const CifarFormat& format, const DataFile& file, int64_t records);

// Appends whole records to the set: planes [3,32,32] become [32,32,3]. Error(data) for an invalid label.
void append_cifar_records(const DataSetFacts& facts, const CifarFormat& format, std::span<const uint8_t> records,
                          const std::string& source, ImageSet& set);

}  // namespace poise
