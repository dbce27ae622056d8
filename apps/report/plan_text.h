// --dry-run: what a run would compute, need and write, from the Trainer's plan.
#pragma once
#include <string>

#include "apps/options/options.h"
#include "apps/training/trainer.h"

namespace poise {

// Layers with parameters and work, totals per network, memory, files. `would` is its last line but one: "would create
// runs/NNNNN-tiny-seed1".
std::string plan_text(const Settings& settings, const TrainingPlan& plan, const ImageSet& images,
                      const std::string& would);

}  // namespace poise
