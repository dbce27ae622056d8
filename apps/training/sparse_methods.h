// The methods of sparse training by name. Each consists of a policy for the masks of G and one for those of D
// (mask_policy.h), with the numbers of SparseOptions. To add a method, add a row to the table in sparse_methods.cpp. A
// new mechanism also needs a policy in policies/ and its options (sparse_options.h, apps/options/option_table.cpp).
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "apps/training/mask_policy.h"

namespace poise {

struct SparseMethod {
  using MakePolicy = std::unique_ptr<MaskPolicy>(const SparseOptions&, Network);

  const char* name;
  MakePolicy *g = nullptr, *d = nullptr;  // null: dense, without a mask
  // What options that are 0 stand for, if that differs from the general defaults in default_of().
  std::vector<std::pair<std::string, double>> defaults = {};

  // What the option `key` stands for if it is 0: a value from `defaults`, from the paper, or of another option.
  // Error(runtime) for an option without a method-specific default.
  double default_of(const std::string& key, const SparseOptions& options) const;
};

std::vector<std::string> method_names();
// Error(usage) for an unknown name.
const SparseMethod& sparse_method(const std::string& name);

// Needs complete options; Error(usage) for an unknown method. A network without a policy is dense and has no masks.
struct MaskPolicies {
  std::unique_ptr<const MaskPolicy> g, d;

  const MaskPolicy* of(Network network) const { return network == Network::generator ? g.get() : d.get(); }
  bool masks() const { return g || d; }
  bool follow_balance() const { return (g && g->follows_balance()) || (d && d->follows_balance()); }
};
MaskPolicies policies_of(const SparseOptions& options);
// Does a policy of the method read the option `key` (MaskPolicy::reads)? Options may be incomplete.
bool method_reads(SparseOptions options, const std::string& key);

// Densities of the maskable layers of `network`. Error(usage), naming the network, for a density that is impossible.
std::vector<LayerDensity> densities_of(Module& network, const SparseOptions& options, double density);

// For the case that no masked layer can skip anything (TrainingPlan::execution is empty): says what happens instead.
std::string masked_execution_note(ExecutionChoice execution, const Cell& cell);

}  // namespace poise
