// What the sparse part of a training run does, in numbers. apps/options/sparse_methods.h fills it in from a method's name.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

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

}  // namespace poise
