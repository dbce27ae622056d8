// Everything that a user can set for a training run, in typed groups. An option is a field of a group and a row of
// apps/options/option_table.cpp; both have the same name, which is also the key in files and checkpoints. Plain data:
// nothing here throws; OptionSet checks the values (options.h).
#pragma once
#include "apps/evaluation/evaluator.h"
#include "apps/training/train_options.h"

namespace poise {

// Iterations whose losses are logged regardless of log_every: an early indication of progress and speed.
constexpr int64_t kAlwaysLogged[] = {1, 2, 5, 10};

struct OutputOptions {
  std::string runs = "runs", name;
  int64_t log_every = 100, sample_every = 1000, sample_count = 64, sample_scale = 2;
  int64_t checkpoint_every = 1000, keep_checkpoints = 3;
  int64_t compare_with_dense = 0;
  bool tensorboard = false;
};

struct Settings : TrainerOptions {
  OutputOptions output;
  EvaluationOptions evaluation;
};

}  // namespace poise
