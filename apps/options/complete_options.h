// Checks and completes options that depend on each other.
#pragma once
#include "apps/options/options.h"
#include "data/image_set.h"

namespace poise {

// Fills in options that are 0 because the method or other options determine them (density_d, band_low, band_high,
// update_every_d). Options that do not fit together, or were set on the command line without effect, become problems;
// likely mistakes become warnings. Ends of schedules that are 0 stay 0, so that they follow `iterations`.
void complete_options(OptionSet& options);

// If --data names a folder and no file, variable or flag sets dataset: sets it to what the folder contains, with its
// default split, and adds a note.
void complete_data_set(OptionSet& options);

// For a conditional model: if classes is 0, a default or from a preset, it becomes the number of classes in the data;
// any other number that differs from it is a problem, because some labels would have no images or some images no label;
// data without classes are a problem, too. For a folder of pictures, a note says how the model uses them.
void complete_classes(OptionSet& options, const ImageSet& images);

// Warns of schedules that end before the iterations do, or have moved since `before`, the settings of a resumed run.
void warn_of_schedules(OptionSet& options, const Settings& before);

}  // namespace poise
