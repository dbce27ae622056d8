// All that a user can set of a training run, in typed groups. An option is a field of one of them and a row of
// apps/options/option_table.cpp; the two have the same name, which is also the key in files and checkpoints. Plain data:
// nothing here throws, and nothing is checked before an OptionSet holds it (options.h).
#pragma once
#include "apps/evaluation/evaluator.h"
#include "apps/training/train_options.h"

namespace poise {

// Iterations whose losses are logged however large log_every is: signs of life, and of speed.
constexpr int64_t kAlwaysLogged[] = {1, 2, 5, 10};

struct OutputOptions {
  std::string runs = "runs", name;
  int64_t log_every = 100, sample_every = 1000, sample_count = 64, sample_scale = 2;
  int64_t checkpoint_every = 1000, keep_checkpoints = 3;
  int64_t compare_with_dense = 0;
};

struct Settings : TrainerOptions {
  OutputOptions output;
  EvaluationOptions evaluation;
};

}  // namespace poise
