// Tiny-ImageNet (200 classes of ImageNet at 64x64, Stanford CS231n), in its official folders:
//   wnids.txt                          a WordNet id per line, such as n01443537: the classes
//   words.txt                          id, tab, meaning (for more classes than these)
//   train/<wnid>/images/*.JPEG         500 per class
//   val/images/*.JPEG, val/val_annotations.txt    file name, tab, id, ..: 50 per class
// A class's index is its position among the sorted ids, not in wnids.txt. Some images are grey; they become RGB.
#pragma once
#include <memory>

#include "data/image_source.h"

namespace poise {

enum class TinyImagenetSplit : uint8_t { train, val };  // the labels of test were never published

const DataSetFacts& tiny_imagenet_facts();

// `path` is a folder or an archive (archive.h): the official folder, or one that holds `tiny-imagenet-200`. It may have
// fewer images than the official set, but some of every class in train. Error(data) says what is wrong.
std::unique_ptr<ImageSource> open_tiny_imagenet(const std::string& path, TinyImagenetSplit split);

}  // namespace poise
