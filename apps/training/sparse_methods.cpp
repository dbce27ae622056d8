#include "apps/training/sparse_methods.h"

#include <fmt/format.h>

#include "apps/training/policies/balance_controlled.h"
#include "apps/training/policies/drop_and_grow.h"
#include "apps/training/policies/fixed.h"
#include "apps/training/policies/gradual.h"
#include "apps/training/policies/prune_once.h"

namespace poise {
namespace {

using Made = std::unique_ptr<MaskPolicy>;
using Options = SparseOptions;
using Limit = BalanceControlled::Limit;

Made fixed(const Options& o, Network n) { return std::make_unique<FixedMasks>(o, n); }
Made grow_at_random(const Options& o, Network n) { return std::make_unique<DropAndGrow>(o, n, Growth::random); }
Made grow_by_gradient(const Options& o, Network n) { return std::make_unique<DropAndGrow>(o, n, Growth::gradient); }
Made follow_balance(const Options& o, Network n) { return std::make_unique<BalanceControlled>(o, n, Limit::one); }
Made follow_to_d_max(const Options& o, Network n) { return std::make_unique<BalanceControlled>(o, n, Limit::d_max); }
Made prune_once(const Options& o, Network n) { return std::make_unique<PruneOnce>(o, n); }
Made prune_gradually(const Options& o, Network n) { return std::make_unique<GradualPruning>(o, n); }
Made prune_gradually_if_asked(const Options& o, Network n) {
  return density_of(o, n) < 1 ? prune_gradually(o, n) : nullptr;
}

// The methods of "Balanced Training for Sparse GANs" (NeurIPS 2023), followed by others. A row has the name, the
// policies for G and D (nullptr: dense), and defaults specific to the method.
const std::vector<SparseMethod>& methods() {
  static const std::vector<SparseMethod> table = {
      {"dense"},
      {"static", fixed, fixed},
      {"sdst-set", grow_at_random, fixed},
      {"sdst-rigl", grow_by_gradient, fixed},
      {"dda", fixed, follow_balance, {{"band_low", 0.5}, {"band_high", 0.65}, {"update_every_d", 2000}}},
      {"ddst-relaxed", grow_by_gradient, follow_balance},
      {"ddst-strict", grow_by_gradient, follow_to_d_max, {{"update_every_d", 2000}}},
      {"posthoc", prune_once, nullptr},
      // Zhu and Gupta, "To prune, or not to prune" (2017)
      {"gradual", prune_gradually, prune_gradually_if_asked, {{"density_d", 1}}},
  };
  return table;
}

}  // namespace

double SparseMethod::default_of(const std::string& key, const SparseOptions& options) const {
  for (const auto& [own, value] : defaults)
    if (own == key) return value;
  if (key == "density_d") return d ? options.density_g : 1;
  if (key == "update_every_d") return 1000;
  if (key == "band_low") return 0.45;
  if (key == "band_high") return 0.55;
  fail(ErrorKind::runtime, "option " + key + " has no default of the method's");
}

const SparseMethod& sparse_method(const std::string& name) {
  for (const SparseMethod& method : methods())
    if (name == method.name) return method;
  fail(ErrorKind::usage, "unknown method '" + name + "'");
}

std::vector<std::string> method_names() {
  std::vector<std::string> names;
  for (const SparseMethod& method : methods()) names.emplace_back(method.name);
  return names;
}

MaskPolicies policies_of(const SparseOptions& options) {
  const SparseMethod& method = sparse_method(options.method);
  MaskPolicies policies;
  if (method.g) policies.g = method.g(options, Network::generator);
  if (method.d) policies.d = method.d(options, Network::discriminator);
  return policies;
}

bool method_reads(SparseOptions options, const std::string& key) {
  if (options.update_every_d == 0) options.update_every_d = 1;  // any value above 0: 0 is not filled in here
  const MaskPolicies policies = policies_of(options);
  return (policies.g && policies.g->reads(key)) || (policies.d && policies.d->reads(key));
}

std::vector<LayerDensity> densities_of(Module& network, const SparseOptions& options, double density) {
  try {
    return layer_densities(maskable_layers(network, options.head()), options.density_rule, density, options.cell);
  } catch (const Error& error) {
    fail(error.kind(), fmt::format("{}: {}", network.path(), error.what()));
  }
}

std::string masked_execution_note(ExecutionChoice execution, const Cell& cell) {
  if (execution == ExecutionChoice::dense) return "dense: dead weights are multiplied as zeros";
  return fmt::format("masked (no speed-up): on a GPU no kernel skips cells of {}; use 16x16 or a multiple, or the CPU",
                     to_string(cell));
}

}  // namespace poise
