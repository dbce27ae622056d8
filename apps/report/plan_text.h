// --dry-run: what a run would compute, need and write, from the Trainer's plan.
#pragma once
#include <string>

#include "apps/options/options.h"
#include "apps/training/trainer.h"

namespace poise {

// Layers with parameters and work, totals per network, memory, files.
std::string plan_text(const Settings& settings, const TrainingPlan& plan, const ImageSet& images);

}  // namespace poise
