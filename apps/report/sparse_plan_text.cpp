#include "apps/report/sparse_plan_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "apps/console/progress.h"
#include "apps/training/sparse_methods.h"

namespace poise {
namespace {

std::string mask_table(const std::string& title, Module& network, const SparseOptions& o, double density) {
  const Memory nowhere(Device::cpu, /*is_planned=*/true);
  ParameterSlab slab(network, DType::f32, nowhere, false);
  const NetworkMasks masks(network, slab, o.cell, o.head(), nowhere);
  const std::vector<MaskableLayer> maskable = maskable_layers(network, o.head());
  const std::vector<LayerDensity> densities = densities_of(network, o, density);
  std::string text =
      fmt::format("{:<24}  {:>10}  {:>10}  {:>8}  {:>10}\n", title, "weights", "cells", "density", "alive");
  int64_t alive = 0;
  for (size_t i = 0; i < maskable.size(); ++i) {
    const int64_t weights = maskable[i].shape.elements(), cell = weights / densities[i].cells;
    const int64_t living = densities[i].alive_cells * cell;
    alive += living;
    text += fmt::format("{:<24}  {:>10}  {:>10}  {:>8.4f}  {:>10}{}\n", network.path() + "." + maskable[i].path,
                        format_count(weights), format_count(densities[i].cells),
                        static_cast<double>(living) / static_cast<double>(weights), format_count(living),
                        living == weights ? "  dense" : "");
  }
  text += fmt::format("{:<24}  {:>10}  {:>10}  {:>8.4f}  {:>10}\n", "total", format_count(masks.total()), "",
                      static_cast<double>(alive) / static_cast<double>(masks.total()), format_count(alive));
  for (const DenseLayer& layer : masks.dense_layers()) {
    text += fmt::format("without a mask: {}.{} {}: {}\n", network.path(), layer.path, layer.shape.to_string(),
                        layer.reason);
  }
  return text + "\n";
}

// For each layer, which passes skip dead blocks and how much faster that is.
std::string execution_table(const TrainingPlan& plan, const SparseOptions& o) {
  if (plan.execution.empty()) return "execution   " + masked_execution_note(o.execution, o.cell) + "\n";
  std::string text = fmt::format("execution, predicted\n{:<24}{:>9}{:>18}{:>18}{:>18}\n", "layer", "density", "forward",
                                 "backward_input", "backward_weight");
  for (size_t i = 0; i < plan.execution.size(); i += 3) {
    text += fmt::format("{:<24}{:>9.4f}", plan.execution[i].layer, plan.execution[i].density);
    for (size_t pass = i; pass < i + 3; ++pass) {
      const ExecutionDecision& d = plan.execution[pass];
      const std::string speedup = std::isnan(d.speedup) ? "?" : fmt::format("{:.1f}x", d.speedup);
      text += fmt::format("{:>18}", speedup + " -> " + name_of(d.execution));
    }
    text += "\n";
  }
  return text +
         "speed-ups over dense: measured by crossover_bench where it ran, else estimated from arithmetic (cuSPARSE: "
         "?)\n";
}

}  // namespace

std::string sparse_plan_text(const TrainerOptions& options, const TrainingPlan& plan) {
  const SparseOptions o = options.scheduled_sparse();
  const MaskPolicies policies = policies_of(o);
  if (!policies.masks()) return "";
  const GanModel model = make_model(options.model);
  std::string text = fmt::format("method {}: cell {}, layer densities by {}\n\n", o.method, to_string(o.cell),
                                 name_of(o.density_rule));
  std::string changes;
  const auto add_network = [&](const char* name, const MaskPolicy* policy, Module& network) {
    changes += fmt::format("{:<12}{}\n", name, policy ? policy->describe() : "dense throughout");
    if (!policy) return;
    const double first = policy->planned_density(0), last = policy->planned_density(options.train.iterations);
    text += mask_table(fmt::format("masks of {}{}", name, first == last ? "" : ", at first"), network, o, first);
  };
  add_network("G", policies.g.get(), *model.generator);
  add_network("D", policies.d.get(), *model.discriminator);
  text += changes;
  if (o.br_every > 0) {
    text += fmt::format(
        "balance     measured every {} iterations ({:.3f} GFLOP each), read as {} over {} measurements\n", o.br_every,
        plan.balance_flops / 1e9, o.br_mode == BalanceMode::mean_of_ratios ? "mean of ratios" : "ratio of sums",
        o.br_window / o.br_every);
  }
  return text + "\n" + execution_table(plan, o) + "\n";
}

}  // namespace poise
