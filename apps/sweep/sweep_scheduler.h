// Trains and evaluates what is missing of a sweep, several runs at a time.
#pragma once
#include <string>

#include "apps/sweep/sweep_folder.h"

namespace poise {

struct SweepSchedule {
  std::string programs;  // the folder of train_gan and evaluate_gan
  int64_t threads = 1, threads_per_run = 1;
  bool quiet = false;  // no progress on standard error
};

enum class SweepEnd : uint8_t { finished, failed, stopped };

// Returns when every run is finished or has failed, or when a signal asks to stop: then after the runs have saved. Runs
// that failed before are tried again. Error(runtime) if another process works on this folder.
SweepEnd run_sweep(const SweepFolder& folder, const SweepSchedule& schedule);

}  // namespace poise
