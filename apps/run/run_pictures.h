// The grids of images in a run's folder `samples/`.
#pragma once
#include <string>

#include "apps/options/settings.h"
#include "apps/training/trainer.h"
#include "data/image_set.h"

namespace poise {

// Draws images of the averaged weights, always from the same latents; returns the picture's name in the run's folder.
std::string draw_fakes(const std::string& run, Trainer& trainer, const OutputOptions& output, const ImageSet& images);
// Draws images from the training set, evenly spaced; returns the name.
std::string draw_reals(const std::string& run, const Trainer& trainer, const OutputOptions& output,
                       const ImageSet& images);

}  // namespace poise
