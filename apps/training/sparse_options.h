// Options of sparse training: the name of a method (sparse_methods.h) and its numbers. Where a comment says so, 0 means
// that the method or another option determines the number; apps/options/complete_options.h fills it in. Plain data:
// MaskPolicy::problems() reports options that do not fit together.
#pragma once
#include <cstdint>
#include <string>

#include "engine/sparse/balance.h"
#include "engine/sparse/execution.h"
#include "engine/sparse/maskable.h"
#include "engine/sparse/prune_grow.h"
#include "engine/sparse/schedule.h"

namespace poise {

struct SparseOptions {
  std::string method = "dense";
  // Initial densities; for methods that begin dense, final densities.
  double density_g = 1, density_d = 0;  // d 0: set by the method, usually the same as g
  DensityRule density_rule = DensityRule::erk;
  Cell cell;
  ExecutionChoice execution = ExecutionChoice::automatic;
  bool mask_head = false;
  int64_t update_every_g = 500, update_every_d = 0;  // iterations; d 0: set by the method
  int64_t schedule_iterations = 0;                   // 0: same as iterations; masks change only before this iteration
  double drop_fraction = 0.5, drop_fraction_end = 0.005;
  ScheduleShape drop_schedule = ScheduleShape::cosine;
  SelectionScope selection_scope = SelectionScope::global;
  MomentPolicy moment_policy = MomentPolicy::seed;
  double band_low = 0, band_high = 0;  // 0: set by the method
  double density_step = 0.05, density_floor = 0.05, d_max = 0.5;
  int64_t br_every = 10, br_window = 1000;  // iterations; br_every 0: never measured
  BalanceMode br_mode = BalanceMode::mean_of_ratios;
  double posthoc_fine_tune = 0.5;
  int64_t prune_start = 0, prune_end = 0;  // iterations; end 0: three quarters of schedule_iterations

  MaskableHead head() const { return mask_head ? MaskableHead::masked_like_paper_code : MaskableHead::dense; }
};

}  // namespace poise
