// Measures how long an iteration takes on this machine, also in comparison with the same iteration without masks.
#pragma once
#include <functional>
#include <memory>
#include <optional>

#include "apps/training/speed_comparison.h"
#include "apps/training/trainer.h"

namespace poise {

// Options of the same training without masks.
TrainerOptions dense_options(TrainerOptions options);

// Runs one iteration and waits for it.
double seconds_of_iteration(Trainer& trainer);

// The duration of an iteration of a new trainer: of the first one if it is long, otherwise of the fastest of a few.
double typical_seconds(Trainer& trainer);

// Trains on for `turns` iterations, alternating with a new dense trainer on the same images, after one warm-up of each.
// The seconds are medians. Returns nothing once `stop` returns true. Errors as for a Trainer; needs memory for another.
std::optional<SpeedComparison> compare_with_dense(Trainer& trainer, const std::shared_ptr<const ImageSet>& images,
                                                  int64_t turns, const std::function<bool()>& stop);

}  // namespace poise
