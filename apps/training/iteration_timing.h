// What an iteration takes on this machine, measured, beside the same iteration without masks.
#pragma once
#include <functional>
#include <memory>
#include <optional>

#include "apps/training/speed_comparison.h"
#include "apps/training/trainer.h"

namespace poise {

// The same training without masks.
TrainerOptions dense_options(TrainerOptions options);

// Takes one iteration and waits for it.
double seconds_of_iteration(Trainer& trainer);

// What one iteration takes, as the trainer begins: the first one if it is long, else the fastest of a few.
double typical_seconds(Trainer& trainer);

// Trains on, `turns` iterations in turns with as many of a new dense trainer on the same images, each after one that is not
// counted; the seconds are medians. Nothing if `stop` said so in between. Errors as for a Trainer: there must be memory for another one.
std::optional<SpeedComparison> compare_with_dense(Trainer& trainer, const std::shared_ptr<const ImageSet>& images,
                                                  int64_t turns, const std::function<bool()>& stop);

}  // namespace poise
