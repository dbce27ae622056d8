// Trains and evaluates the unfinished runs of a sweep, several at a time.
#pragma once
#include <string>

#include "apps/sweep/sweep_folder.h"

namespace poise {

struct SweepSchedule {
  std::string programs;  // folder of train_gan and evaluate_gan
  int64_t threads = 1, threads_per_run = 1;
  bool quiet = false;  // no progress on standard error
};

enum class SweepEnd : uint8_t { finished, failed, stopped };

// Returns when every run has finished or failed or, after a signal, when the active runs have saved. Retries runs that
// failed earlier. Error(runtime) if another process is working on this folder.
SweepEnd run_sweep(const SweepFolder& folder, const SweepSchedule& schedule);

}  // namespace poise
