// STL-10, binary version (Coates, Ng, Lee 2011): files of 96x96 images, each three planes of bytes (red, green, blue)
// that are column-major, and files of labels 1..10, which become 0..9.
#pragma once
#include <memory>

#include "data/image_source.h"

namespace poise {

enum class Stl10Split : uint8_t { unlabeled, train, test, train_and_unlabeled };

const DataSetFacts& stl10_facts();

// `path` is a folder or an archive (archive.h) that holds the official files, or a folder `stl10_binary` that does. It
// may hold unlabeled_sample_X.bin with any number of images instead of unlabeled_X.bin. Splits with unlabeled images
// have no labels. File sizes and all labels are checked here; Error(data) says what is wrong.
std::unique_ptr<ImageSource> open_stl10(const std::string& path, Stl10Split split);

}  // namespace poise
