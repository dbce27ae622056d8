// The environment of a run: the program, the machine and the data.
#pragma once
#include <string>

#include "apps/options/options.h"
#include "apps/training/device_choice.h"
#include "data/image_set.h"

namespace poise {

// The text of env.json: one object on one line. Throws nothing itself.
std::string environment_json(const Settings& settings, const DeviceChoice& device, const ImageSet& images);

}  // namespace poise
