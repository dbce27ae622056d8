// Dynamic sparse training as a user asks for it: the methods of "Balanced Training for Sparse GANs" (NeurIPS 2023),
// each a line of a table over the same parts, and the options of [sparse] that set their numbers.
//
//   method        G                                   D
//   dense         dense                               dense
//   static        fixed mask                          fixed mask
//   sdst-set      drop and grow at random             fixed mask
//   sdst-rigl     drop and grow by gradient           fixed mask
//   dda           fixed mask                          density follows the balance ratio
//   ddst-relaxed  drop and grow by gradient           density follows the balance ratio, up to 1
//   ddst-strict   drop and grow by gradient           the same up to d_max; there it drops and grows
//   posthoc       dense, then pruned and fine-tuned   dense
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "apps/options.h"
#include "engine/sparse/balance.h"
#include "engine/sparse/density_control.h"
#include "engine/sparse/execution.h"
#include "engine/sparse/prune_grow.h"
#include "engine/sparse/schedule.h"

namespace poise {

struct SparseOptions {
  std::string method = "dense";
  double density_g = 1, density_d = 1;  // at the start; posthoc: density_g after pruning
  DensityRule rule = DensityRule::erk;
  Cell cell;
  ExecutionChoice execution = ExecutionChoice::automatic;
  MaskableHead head = MaskableHead::dense;
  SelectionScope scope = SelectionScope::global;
  MomentPolicy moments = MomentPolicy::seed;

  bool masks = false;              // any mask at all
  std::optional<Growth> growth_g;  // drop and grow in G, every update_every_g iterations
  bool control_d = false;          // D's density follows the balance ratio, every update_every_d iterations
  int64_t prune_at = 0;            // posthoc: after this iteration
  DropSchedule drop;               // its length is that of the run: masks change before its end only
  int64_t update_every_g = 500, update_every_d = 1000;
  DensityControl control;
  int64_t balance_every = 10, balance_window = 1000;  // iterations; every 0: never measured
  BalanceMode balance_mode = BalanceMode::mean_of_ratios;

  int64_t balance_capacity() const { return balance_every > 0 ? balance_window / balance_every : 0; }
};

std::vector<std::string> method_names();

// Fills in what 0 leaves to the method or to other options (density_d, band_low, band_high, update_every_d,
// schedule_iterations), and notes what does not fit together as problems.
void complete_sparse_options(OptionSet& options);

// Where no layer under masks can skip anything: what happens instead, "masked (no speed-up): ..."; else "".
std::string masked_execution_note(ExecutionChoice execution, const Cell& cell);

// Of settings that are complete.
SparseOptions sparse_options(const Settings& settings);

}  // namespace poise
