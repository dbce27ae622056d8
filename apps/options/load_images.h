// Loads the images of a run according to its settings.
#pragma once
#include <string>

#include "apps/options/options.h"
#include "data/image_set.h"
#include "data/image_source.h"

namespace poise {

// The folder that `data` refers to. Error(usage) for "sample" if the data set has no sample.
std::string data_folder(const DataOptions& options);

// Loads images at the size of the model's images. Error(data) if they are missing or damaged; Error(usage) as
// data_folder(), for an unknown model, and for any other image_size. Unless `quiet`, shows a progress bar on standard
// error if this takes more than a moment, and reports use of the cache. Warnings are always printed.
ImageSet load_images(const Settings& settings, bool quiet);

// A progress bar on standard error, "  [====>   ]  1,024/10,000  5321.0 pictures/s  ETA 1.7s". It appears if that is a
// terminal and the work has taken a second, and is erased when the work is done.
ReadProgress reading_bar(const std::string& unit, bool quiet);

}  // namespace poise
