// The part of --dry-run about masks: which layers have one, how many cells, how dense, and what changes when.
#pragma once
#include <string>

#include "apps/training/trainer.h"

namespace poise {

// "" for a dense run.
std::string sparse_plan_text(const TrainerOptions& options, const TrainingPlan& plan);

}  // namespace poise
