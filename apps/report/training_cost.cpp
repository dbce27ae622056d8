#include "apps/report/training_cost.h"

#include "apps/options/complete_options.h"
#include "apps/options/option_sources.h"
#include "apps/training/sparse_methods.h"

namespace poise {
namespace {

TrainingCost cost_of(const Settings& settings, FlopConvention convention) {
  const SparseOptions& sparse = settings.sparse;
  const SparseMethod& method = sparse_method(sparse.method);
  const TrainOptions& train = settings.train;
  TrainingCost cost{.model = model_cost(settings.model), .convention = convention};
  // The reference's counter sees the reference's masks.
  cost.head = convention == FlopConvention::full ? sparse.head() : MaskableHead::as_reference;
  cost.shape = {train.batch_size_d, train.batch_size_g, train.n_critic};
  if (method.growth_g == Growth::gradient) cost.extra.dense_gradient_g_every = sparse.update_every_g;
  if (method.control_d) {
    cost.extra.dense_gradient_d_every = sparse.update_every_d;
    cost.extra.balance_every = sparse.br_every;
  }
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
  TrainingCost cost = cost_of(settings, convention);
  cost.iterations = cost.dense_iterations = static_cast<double>(settings.train.iterations);
  const DensityPeriod dense{.g = all_dense(cost.model.g), .d = all_dense(cost.model.d)};
  if (!sparse_method(sparse.method).masks) {
    cost.periods = {dense};
    return cost;
  }
  const DensityPeriod masked{
      .first_iteration = static_cast<double>(prune_at(sparse)),
      .g = densities_of(cost.model.g, sparse.density_rule, sparse.density_g, sparse.cell, cost.head),
      .d = densities_of(cost.model.d, sparse.density_rule, sparse.density_d, sparse.cell, cost.head)};
  if (masked.first_iteration > 0) {
    cost.periods = {dense};
    cost.dense_iterations = masked.first_iteration;
  }
  cost.periods.push_back(masked);
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
