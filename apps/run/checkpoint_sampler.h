// Makes a trainer for sampling only, from a checkpoint: for programs that inspect a finished or running training.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "apps/training/trainer.h"
#include "engine/io/safetensors.h"

namespace poise {

// `source`: a run directory (loads its newest valid checkpoint and warns of newer damaged ones on standard error, as
// `program`), a checkpoint file, or a compact export (apps/run/compact_generator.h). Error(checkpoint) if it is none of
// these, or has no undamaged checkpoint.
SafetensorsFile load_checkpoint(const std::string& source, const std::string& program);
// The files that load_checkpoint() may read, so that callers do not overwrite them.
std::vector<std::string> checkpoint_files(const std::string& source);

// The trainer has the smallest possible batches and data set. `device`: empty means automatic, as for the option.
// Error(checkpoint) if the file is no training checkpoint or incompatible; Error(environment) if the device is missing.
std::unique_ptr<Trainer> sampler_of(const SafetensorsFile& file, std::optional<Device> device);

}  // namespace poise
