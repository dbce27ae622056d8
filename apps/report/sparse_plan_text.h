// The part of --dry-run that tells of masks: which layers get one, of how many cells, how dense, and what changes when.
#pragma once
#include <string>

#include "apps/training/trainer.h"

namespace poise {

// "" for a dense run.
std::string sparse_plan_text(const TrainerOptions& options, const TrainingPlan& plan);

}  // namespace poise
