// CIFAR-100, binary version (Krizhevsky 2009): train.bin with 50,000 records and test.bin with 10,000, each a coarse
// label, a fine label and an image (cifar_records.h). The labels of a set are the fine ones.
#pragma once
#include "data/cifar10.h"

namespace poise {

const DataSetFacts& cifar100_facts();

// `path` is a folder or an archive (archive.h) that holds the official files, or a folder `cifar-100-binary` that does.
// Error(data) as for CIFAR-10.
ImageSet read_cifar100(const std::string& path, CifarSplit split);

// Any positive number of records up to 50,000, already in memory.
ImageSet parse_cifar100(std::span<const uint8_t> records, const std::string& source);

}  // namespace poise
