// What a whole training costs (engine/sparse/flops.h has the conventions): one that somebody plans, at constant
// densities, or one that was recorded, as its masks changed.
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

// From `first_iteration` on; one density per layer of ModelCost.
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
  double iterations = 0;               // where the last one ends
  double dense_iterations = 0;         // of the dense training that it compares with

  IterationCost dense_iteration() const;
  IterationCost iteration(const DensityPeriod& period) const;
  double dense_total() const { return dense_iterations * dense_iteration().total(); }
  double total() const;
  double ratio() const { return total() / dense_total(); }
  // (iteration, MAC since the start), at the ends of periods.
  Points cumulative() const;
};

// Of options that are complete, with the densities that policies plan (apps/training/mask_policy.h), in every layer as
// density_rule has it. The balance ratio is charged where the method follows it.
TrainingCost planned_cost(const Settings& settings, FlopConvention convention);

// Up to the last iteration recorded, with the layer densities that the run's mask updates wrote down.
TrainingCost recorded_cost(const RunRecord& run, const Settings& settings, FlopConvention convention);
// The options of a recorded run, from its config.toml. Error(usage) if this version cannot read them.
Settings settings_of_run(const RunRecord& run);

}  // namespace poise
