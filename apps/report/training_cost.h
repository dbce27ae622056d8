// The cost of a whole training (engine/sparse/flops.h defines the conventions): of a planned one, with planned
// densities, or of a recorded one, with the densities that its masks had.
#pragma once
#include "apps/options/options.h"
#include "apps/run/run_record.h"
#include "engine/sparse/flops.h"
#include "models/registry.h"

namespace poise {

struct ModelCost {
  NetworkCost g, d;
};
ModelCost model_cost(const ModelOptions& options);

// Densities from `first_iteration` on, one per layer of ModelCost.
struct DensityPeriod {
  double first_iteration = 0;
  std::vector<double> g, d;
};

struct TrainingCost {
  ModelCost model;
  FlopConvention convention = FlopConvention::full;
  MaskableHead head = MaskableHead::dense;
  IterationShape shape;
  ExtraWork extra;
  std::vector<DensityPeriod> periods;  // at least one; ascending
  double iterations = 0;               // end of the last period
  double dense_iterations = 0;         // of the dense training to compare with

  IterationCost dense_iteration() const;
  IterationCost iteration(const DensityPeriod& period) const;
  double dense_total() const { return dense_iterations * dense_iteration().total(); }
  double total() const;
  double ratio() const { return total() / dense_total(); }
  // (iteration, MAC since the start), at the ends of periods.
  Points cumulative() const;
};

// `settings` must be complete. Uses the densities that policies plan (apps/training/mask_policy.h), distributed over
// layers by density_rule. The cost of the balance ratio is included if the method follows it.
TrainingCost planned_cost(const Settings& settings, FlopConvention convention);

// Up to the last recorded iteration, with the layer densities recorded by the run's mask updates.
TrainingCost recorded_cost(const RunRecord& run, const Settings& settings, FlopConvention convention);
// The options of a recorded run, from its config.toml. Error(usage) if this version cannot read them.
Settings settings_of_run(const RunRecord& run);

}  // namespace poise
