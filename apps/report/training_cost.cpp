#include "apps/report/training_cost.h"

#include <algorithm>

#include "apps/options/complete_options.h"
#include "apps/options/option_sources.h"
#include "apps/training/sparse_methods.h"

namespace poise {
namespace {

TrainingCost cost_of(const Settings& settings, FlopConvention convention) {
  const SparseOptions sparse = settings.scheduled_sparse();
  const MaskPolicies policies = policies_of(sparse);
  const TrainOptions& train = settings.train;
  TrainingCost cost{.model = model_cost(settings.model), .convention = convention};
  // The paper code's counter uses the paper code's masks.
  cost.head = convention == FlopConvention::full ? sparse.head() : MaskableHead::masked_like_paper_code;
  cost.shape = {train.batch_size_d, train.batch_size_g, train.n_critic};
  if (policies.g) cost.extra.dense_gradient_g_every = policies.g->dense_gradient_every();
  if (policies.d) cost.extra.dense_gradient_d_every = policies.d->dense_gradient_every();
  if (policies.follow_balance()) cost.extra.balance_every = sparse.br_every;
  return cost;
}

void set_densities(const NetworkCost& network, const MaskUpdate& update, std::vector<double>& densities) {
  for (const auto& [name, density] : update.layers) {
    for (size_t i = 0; i < network.layers.size(); ++i)
      if (network.layers[i].layer.path == name) densities[i] = density;
  }
}

}  // namespace

ModelCost model_cost(const ModelOptions& options) {
  const GanModel model = make_model(options);
  Generator& g = *model.generator;
  Discriminator& d = *model.discriminator;
  const Shape z{1, g.latent_size}, image{1, g.image_shape[0], g.image_shape[1], g.image_shape[2]};
  const auto label = [&](Tape& t) { return g.classes > 0 ? t.alloc({1}, DType::i32) : Tensor{}; };
  return {.g = network_cost(g, [&](Tape& t) { g(t.constant(t.alloc(z, DType::f32)), label(t)); }),
          .d = network_cost(d, [&](Tape& t) { d(t.constant(t.alloc(image, DType::f32)), label(t)); })};
}

IterationCost TrainingCost::dense_iteration() const {
  return iteration_cost(model.g, all_dense(model.g), model.d, all_dense(model.d), shape, {}, convention);
}

IterationCost TrainingCost::iteration(const DensityPeriod& period) const {
  return iteration_cost(model.g, period.g, model.d, period.d, shape, extra, convention);
}

Points TrainingCost::cumulative() const {
  Points points = {{0, 0}};
  for (size_t i = 0; i < periods.size(); ++i) {
    const double end = i + 1 < periods.size() ? periods[i + 1].first_iteration : iterations;
    const double macs = (end - periods[i].first_iteration) * iteration(periods[i]).total();
    points.emplace_back(end, points.back().second + macs);
  }
  return points;
}

double TrainingCost::total() const { return cumulative().back().second; }

TrainingCost planned_cost(const Settings& settings, FlopConvention convention) {
  const SparseOptions sparse = settings.scheduled_sparse();
  const MaskPolicies policies = policies_of(sparse);
  TrainingCost cost = cost_of(settings, convention);
  const int64_t iterations = settings.train.iterations;
  cost.iterations = static_cast<double>(iterations);
  int64_t dense_iterations = iterations;
  for (const MaskPolicy* policy : {policies.g.get(), policies.d.get()}) {
    if (policy) dense_iterations = std::min(dense_iterations, policy->dense_iterations(iterations));
  }
  cost.dense_iterations = static_cast<double>(dense_iterations);

  const auto densities = [&](const MaskPolicy* policy, const NetworkCost& network, int64_t t) {
    const double density = policy ? policy->planned_density(t) : 1;
    return density == 1 ? all_dense(network)
                        : densities_of(network, sparse.density_rule, density, sparse.cell, cost.head);
  };
  const auto changes = [&](const MaskPolicy* policy, int64_t t) {
    return policy && policy->planned_density(t) != policy->planned_density(t - 1);
  };
  for (int64_t t = 0; t < iterations; ++t) {
    if (t > 0 && !changes(policies.g.get(), t) && !changes(policies.d.get(), t)) continue;
    cost.periods.push_back({.first_iteration = static_cast<double>(t),
                            .g = densities(policies.g.get(), cost.model.g, t),
                            .d = densities(policies.d.get(), cost.model.d, t)});
  }
  return cost;
}

TrainingCost recorded_cost(const RunRecord& run, const Settings& settings, FlopConvention convention) {
  TrainingCost cost = cost_of(settings, convention);
  cost.iterations = cost.dense_iterations = static_cast<double>(run.last_iteration());
  cost.periods = {{.g = all_dense(cost.model.g), .d = all_dense(cost.model.d)}};
  for (const MaskUpdate& update : run.updates) {
    DensityPeriod next = cost.periods.back();
    next.first_iteration = static_cast<double>(update.iteration);
    set_densities(update.network == "G" ? cost.model.g : cost.model.d, update, update.network == "G" ? next.g : next.d);
    if (next.first_iteration == cost.periods.back().first_iteration) cost.periods.pop_back();
    cost.periods.push_back(next);
  }
  return cost;
}

Settings settings_of_run(const RunRecord& run) {
  OptionSet options;
  read_options_file(run.path + "/config.toml", run.path + "/config.toml", options);
  complete_options(options);
  options.throw_if_problems();
  return options.settings();
}

}  // namespace poise
