// A trainer that will only sample, from a checkpoint: for programs that look at a finished or running training.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "apps/training/trainer.h"
#include "engine/io/safetensors.h"

namespace poise {

// `source`: a run directory (its newest valid checkpoint; damaged newer ones are warned of on standard error in the
// name of `program`), a checkpoint file, or a compact export (apps/run/compact_generator.h). Error(checkpoint) if it is
// none of them, or nothing in it is whole.
SafetensorsFile load_checkpoint(const std::string& source, const std::string& program);
// The files that load_checkpoint() may read, which no output may replace.
std::vector<std::string> checkpoint_files(const std::string& source);

// The smallest batches and data set there can be. `device`: nothing chooses one, as the option does. Error(checkpoint) if
// the file is of no training, or of another version's; Error(environment) if the device is not there.
std::unique_ptr<Trainer> sampler_of(const SafetensorsFile& file, std::optional<Device> device);

}  // namespace poise
