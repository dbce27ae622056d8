// The images of a run, as its settings say.
#pragma once
#include <string>

#include "apps/options/options.h"
#include "data/image_set.h"
#include "data/image_source.h"

namespace poise {

// The folder that `data` means. Error(usage) for the sample of a set that has none.
std::string data_folder(const DataOptions& options);

// At the size of the model's images unless image_size says another. Error(data) if they are missing or damaged,
// Error(usage) as data_folder() and for an unknown model. Unless
// `quiet`, a bar on standard error when it takes more than a moment, and what became of the cache. Warnings come anyway.
ImageSet load_images(const Settings& settings, bool quiet);

// A bar on standard error, "  [====>   ]  1,024/10,000  5321.0 pictures/s  ETA 1.7s", if that is a terminal and the
// work has taken a second. Erased when the work is done.
ReadProgress reading_bar(const std::string& unit, bool quiet);

}  // namespace poise
