// A folder of one's own pictures: PNG, JPEG and BMP files (decode_picture.h), either all in the folder, without
// classes, or in subfolders, one per class, at any depth inside. Classes are the subfolders by name, pictures follow by
// path; walk_pictures.h says which files count and what is passed over.
#pragma once
#include <memory>

#include "data/image_source.h"

namespace poise {

const DataSetFacts& image_folder_facts();

// Error(data) if there is no picture, or none in the folder of a class, or if there are some both in the folder and in
// subfolders, or in formats that Poise does not read.
std::unique_ptr<ImageSource> open_image_folder(const std::string& folder);

// Is there a file in `folder`, or down to three folders below, that the set would be made of or that it would refuse as a
// picture in another format? Looks at 10,000 files at most.
bool holds_pictures(const std::string& folder);

}  // namespace poise
