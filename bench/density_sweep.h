// How much time sparse execution saves for the arithmetic it skips: times whole training iterations with static masks
// over densities and cells, in turns: dense, masked but dense, cuSPARSE (blocks on a GPU) and --execution auto.
#pragma once
#include <string>
#include <vector>

#include "apps/training/trainer.h"

namespace poise {

struct SweepOptions {
  TrainerOptions trainer;
  std::vector<double> densities = {1, 0.5, 0.3, 0.2, 0.1, 0.05};
  std::vector<std::string> cells = {"1x1", "4x1", "16x16"};
  int64_t iterations = 3;
  std::string csv, json, svg;
};

// Masks of G and D that never change.
SparseOptions static_masks(double density, const Cell& cell, ExecutionChoice execution);

// Prints a line per density and cell, where the time of sparse iterations is spent, the memory, and the density below
// which sparse execution is faster.
void run_density_sweep(const SweepOptions& options, const ImageSet& images);

}  // namespace poise
