// CIFAR-10, binary version (Krizhevsky 2009): six files of 10,000 records, each a label byte and an image
// (cifar_records.h). The planes are converted to NHWC once, at load.
#pragma once
#include <span>

#include "data/files.h"
#include "data/image_set.h"

namespace poise {

enum class CifarSplit : uint8_t { train, test };

const DataSetFacts& cifar10_facts();

// `path` is a folder or an archive (archive.h) that holds the official files, or a folder `cifar-10-batches-bin` that
// does, or the bundled sample `cifar10_sample.bin` (training images only). Any problem is an Error(data) that names the
// file. The sizes of all files are checked before the first byte is read.
ImageSet read_cifar10(const std::string& path, CifarSplit split);

// The records of one file that is already in memory: any positive number of them up to 50,000. `source` names it in
// errors.
ImageSet parse_cifar10(std::span<const uint8_t> records, const std::string& source);

}  // namespace poise
