// Settings as the rooms below take them.
#pragma once
#include "apps/evaluation/evaluator.h"
#include "apps/options/options.h"
#include "apps/training/trainer.h"

namespace poise {

// Of complete settings. Error(environment) if their device is not there.
TrainerOptions trainer_options(const Settings& settings);

EvaluationOptions evaluation_options(const Settings& settings);

}  // namespace poise
