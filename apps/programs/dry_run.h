// --dry-run: what a run would compute, need and write, and how long it would take here.
#pragma once
#include <memory>

#include "apps/options/options.h"
#include "apps/training/trainer.h"

namespace poise {

// Prints the plan. Then times one iteration (a few if they are short) with new networks, dense and under the planned
// masks, and prints how long all iterations would take. If memory does not suffice or kernels are emulated, it says so
// instead. Errors as for a Trainer. Unless `quiet`, a line on standard error announces the timing.
void print_dry_run(const Settings& settings, const TrainingPlan& plan, const std::shared_ptr<ImageSet>& images,
                   bool quiet);

}  // namespace poise
