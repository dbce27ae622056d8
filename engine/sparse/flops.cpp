#include "engine/sparse/flops.h"

#include <cstring>

#include "engine/optim/parameter_slab.h"

namespace poise {
namespace {

bool multiplies_weights(const Work& work) {
  return std::strcmp(work.op, "conv2d") == 0 || std::strcmp(work.op, "linear") == 0;
}

// The images that go through a network in one iteration, counted as forward passes.
struct PassCounts {
  double forward = 0, backward = 0;
};

PassCounts generator_passes(const IterationShape& s) {
  return {.forward = static_cast<double>(s.n_critic * s.batch_size_d + s.batch_size_g),
          .backward = 2 * static_cast<double>(s.batch_size_g)};
}

PassCounts discriminator_passes(const IterationShape& s, FlopConvention convention) {
  const double steps = static_cast<double>(s.n_critic * s.batch_size_d), g_step = static_cast<double>(s.batch_size_g);
  if (convention == FlopConvention::full) return {.forward = 2 * steps + g_step, .backward = 4 * steps + g_step};
  const double times = convention == FlopConvention::published ? static_cast<double>(s.n_critic) : 1;
  return {.forward = times * (steps + g_step), .backward = times * 2 * steps};
}

double per_iteration(int64_t every) { return every > 0 ? 1 / static_cast<double>(every) : 0; }

}  // namespace

double NetworkCost::forward_macs(const std::vector<double>& densities, FlopConvention convention) const {
  require(densities.size() == layers.size(), "one density per layer");
  double macs = 0, additions = 2 * batch_norm_values;
  for (size_t i = 0; i < layers.size(); ++i) {
    macs += densities[i] * layers[i].macs;
    additions += layers[i].bias_outputs;
  }
  return convention == FlopConvention::full ? macs : macs + additions;
}

double NetworkCost::dense_macs(FlopConvention convention) const { return forward_macs(all_dense(*this), convention); }

NetworkCost network_cost(Module& network, const std::function<void(Tape&)>& forward) {
  ParameterSlab slab(network, DType::f32, {Device::cpu, /*is_planned=*/true}, false);
  Context ctx{.kernels = &cpu_kernels()};
  PlanningScope planning(ctx);
  Tape tape(ctx);
  tape.mode = Mode::evaluate_running;  // one image with one position has no batch statistics
  const Tape::NoGrad no_grad(tape);
  forward(tape);

  NetworkCost cost;
  for (const Profile::Row& row : planning.profile().rows()) {
    if (!multiplies_weights(row.work)) continue;
    LayerCost layer{.layer = {.path = row.layer}, .macs = row.work.flops / 2};
    bool has_bias = false;
    network.for_each_parameter([&](Parameter& parameter) {
      const size_t dot = parameter.path.rfind('.');
      if (row.layer != network.path() + "." + parameter.path.substr(0, dot)) return;
      if (parameter.role == ParameterRole::bias) {
        has_bias = true;
        return;
      }
      layer.layer = {parameter.path.substr(0, dot), parameter.shape};
      layer.maskable = is_maskable(parameter, MaskableHead::masked_like_paper_code);
      layer.is_head = layer.maskable && !is_maskable(parameter, MaskableHead::dense);
    });
    const Shape& shape = layer.layer.shape;
    require(shape.rank() > 0, "every convolution and linear layer has a weight of its own");
    // Each output position multiplies every weight once.
    const double positions = layer.macs / static_cast<double>(shape.elements());
    if (has_bias) layer.bias_outputs = positions * static_cast<double>(shape[0]);
    cost.layers.push_back(layer);
  }
  for (const Node& node : tape.nodes()) {
    if (std::strcmp(node.name, "batch_norm") == 0)
      cost.batch_norm_values += static_cast<double>(node.output.shape.elements());
  }
  return cost;
}

std::vector<double> densities_of(const NetworkCost& network, DensityRule rule, double density, const Cell& cell,
                                 MaskableHead head) {
  std::vector<MaskableLayer> masked;
  for (const LayerCost& layer : network.layers)
    if (layer.masked(head)) masked.push_back(layer.layer);
  const std::vector<LayerDensity> found = layer_densities(masked, rule, density, cell);
  std::vector<double> densities;
  size_t next = 0;
  for (const LayerCost& layer : network.layers) {
    if (!layer.masked(head)) {
      densities.push_back(1);
      continue;
    }
    const LayerDensity& d = found[next++];
    densities.push_back(static_cast<double>(d.alive_cells) / static_cast<double>(d.cells));
  }
  return densities;
}

IterationCost iteration_cost(const NetworkCost& g, const std::vector<double>& densities_g, const NetworkCost& d,
                             const std::vector<double>& densities_d, const IterationShape& shape,
                             const ExtraWork& extra, FlopConvention convention) {
  const double f_g = g.forward_macs(densities_g, convention), f_d = d.forward_macs(densities_d, convention);
  const PassCounts passes_g = generator_passes(shape), passes_d = discriminator_passes(shape, convention);
  IterationCost cost{.g = {f_g * passes_g.forward, f_g * passes_g.backward},
                     .d = {f_d * passes_d.forward, f_d * passes_d.backward}};
  if (convention != FlopConvention::full) return cost;
  const double batch_d = static_cast<double>(shape.batch_size_d), batch_g = static_cast<double>(shape.batch_size_g);
  cost.dense_gradients = per_iteration(extra.dense_gradient_g_every) * batch_g * (g.dense_macs(convention) - f_g) +
                         per_iteration(extra.dense_gradient_d_every) * 2 * batch_d * (d.dense_macs(convention) - f_d);
  cost.balance = per_iteration(extra.balance_every) * (batch_g * f_g + (batch_g + batch_d) * f_d);
  return cost;
}

}  // namespace poise
