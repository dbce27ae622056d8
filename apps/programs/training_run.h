// One run of train_gan from its first iteration (or a checkpoint) to its last: the loop around Trainer::iterate(), and
// everything it writes into the run directory.
#pragma once
#include <string>

#include "apps/options/options.h"

namespace poise {

struct RunRequest {
  OptionSet options;
  std::string label;    // for a new run's directory: the preset's or the model's name
  std::string resume;   // an existing run directory; "" makes a new one
  std::string program;  // as the user started it, for the resume command
  bool quiet = false;
  bool dry_run = false;
  Ranks* ranks = nullptr;  // the processes that train together; null: this one alone
};

// Returns the exit code: 0, or 75 if a signal stopped the run. Throws Error for everything else.
int run_training(RunRequest request);

}  // namespace poise
