// What options mean together.
#pragma once
#include "apps/options/options.h"
#include "data/image_set.h"

namespace poise {

// Fills in what 0 leaves to the method or to other options (density_d, band_low, band_high, update_every_d); notes what
// does not fit together, and what somebody set on the command line without any effect, as problems; and warns of what
// is likely to be a slip. The end of schedules that 0 leaves to iterations stays 0, so that it follows them.
void complete_options(OptionSet& options);

// Where --data names a folder, and neither a file nor the user says what it holds: dataset becomes what lies there, with
// its default split, and a note says so.
void complete_data_set(OptionSet& options);

// Of a conditional model: classes = 0 becomes the number of classes of the data; another number that is not theirs is a
// problem, as labels without images would be drawn, or images without a label; and so are data without classes. For a
// folder of pictures, a note says what the model makes of them.
void complete_classes(OptionSet& options, const ImageSet& images);

// Warns where schedules end before the iterations do, and where they have moved since `before`, of a resumed run.
void warn_of_schedules(OptionSet& options, const Settings& before);

}  // namespace poise
