#include "apps/report/sparse_plan_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "apps/console/progress.h"
#include "apps/training/sparse_methods.h"

namespace poise {
namespace {

std::string mask_table(const char* title, Module& network, const SparseOptions& o, double density) {
  ParameterSlab slab(network, DType::f32, Device::cpu, false, /*planning=*/true);
  const NetworkMasks masks(network, slab, o.cell, o.head(), Device::cpu, /*planning=*/true);
  const std::vector<MaskableLayer> maskable = maskable_layers(network, o.head());
  const std::vector<LayerDensity> densities = layer_densities(maskable, o.density_rule, density, o.cell);
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

std::string drop_text(const SparseOptions& o) {
  return fmt::format("{} from {} to {} of the alive weights", name_of(o.drop_schedule), o.drop_fraction,
                     o.drop_fraction_end);
}

// Layer by layer: which passes skip dead blocks, and how much faster that is.
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
  const SparseMethod& method = sparse_method(o.method);
  if (!method.masks) return "";
  const GanModel model = make_model(options.model);
  std::string text = fmt::format("method {}: cell {}, layer densities by {}\n\n", o.method, to_string(o.cell),
                                 name_of(o.density_rule));
  const bool prunes = method.prunes;
  text += mask_table(prunes ? "masks of G, at first" : "masks of G", *model.generator, o, prunes ? 1.0 : o.density_g);
  if (!prunes) text += mask_table("masks of D", *model.discriminator, o, o.density_d);
  if (prunes) {
    text += fmt::format(
        "G           dense until iteration {}; then {:.4g}% of its moving average stay, the weights of "
        "largest magnitude, network-wide\n",
        format_count(prune_at(o)), 100 * o.density_g);
    text += "D           dense throughout\n";
  } else if (method.growth_g) {
    text += fmt::format("G           every {} iterations before {}: drop {}, grow as many {}, {}\n", o.update_every_g,
                        format_count(o.schedule_iterations), drop_text(o),
                        *method.growth_g == Growth::gradient ? "by gradient" : "at random",
                        o.selection_scope == SelectionScope::global ? "network-wide" : "layer by layer");
  } else {
    text += "G           its masks stay\n";
  }
  if (method.control_d) {
    text += fmt::format(
        "D           every {} iterations before {}: density +{} if the balance ratio is {} or more, -{} "
        "if it is {} or less, within {} to {}{}\n",
        o.update_every_d, format_count(o.schedule_iterations), o.density_step, o.band_high, o.density_step, o.band_low,
        o.density_floor, method.strict ? o.d_max : 1.0,
        method.strict ? "; there it drops and grows: " + drop_text(o) : std::string());
  } else if (!prunes) {
    text += "D           its masks stay\n";
  }
  if (o.br_every > 0) {
    text += fmt::format(
        "balance     measured every {} iterations ({:.3f} GFLOP each), read as {} over {} measurements\n", o.br_every,
        plan.balance_flops / 1e9, o.br_mode == BalanceMode::mean_of_ratios ? "mean of ratios" : "ratio of sums",
        o.br_window / o.br_every);
  }
  return text + "\n" + execution_table(plan, o) + "\n";
}

}  // namespace poise
