// A folder of the user's own pictures: PNG, JPEG and BMP files (decode_picture.h), either directly in the folder,
// without classes, or in subfolders, one per class, at any depth inside. Classes are sorted by name and pictures by
// path; walk_pictures.h says which files count and which are skipped.
#pragma once
#include <memory>

#include "data/image_source.h"

namespace poise {

const DataSetFacts& image_folder_facts();

// Error(data) if there are no pictures, or none in the folder of a class, or if there are pictures both in the folder
// and in subfolders, or in formats that Poise does not read.
std::unique_ptr<ImageSource> open_image_folder(const std::string& folder);

// True if `folder`, down to three levels below it, has a picture, including any in a format that Poise does not read.
// Checks 10,000 files at most.
bool holds_pictures(const std::string& folder);

}  // namespace poise
