// The methods of sparse training by name: each a policy for the masks of G and one for those of D (mask_policy.h), with
// the numbers of SparseOptions. The table is in sparse_methods.cpp: to add a method is to add a row there; one of a new
// mechanism needs besides a policy in policies/, and its options (sparse_options.h, apps/options/option_table.cpp).
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
  // What options that are 0 stand for, where it is not what default_of() says.
  std::vector<std::pair<std::string, double>> defaults = {};

  // What the option `key` stands for if it is 0: a number of the table, of the paper, or another option. Error(runtime)
  // for an option that leaves nothing to the method.
  double default_of(const std::string& key, const SparseOptions& options) const;
};

std::vector<std::string> method_names();
// Error(usage) for a name that no method has.
const SparseMethod& sparse_method(const std::string& name);

// Of complete options; Error(usage) for an unknown method. A network without a policy is dense and has no masks.
struct MaskPolicies {
  std::unique_ptr<const MaskPolicy> g, d;

  const MaskPolicy* of(Network network) const { return network == Network::generator ? g.get() : d.get(); }
  bool masks() const { return g || d; }
  bool follow_balance() const { return (g && g->follows_balance()) || (d && d->follows_balance()); }
};
MaskPolicies policies_of(const SparseOptions& options);
// Does a policy of the method read the option `key` (MaskPolicy::reads)? Options may be incomplete.
bool method_reads(SparseOptions options, const std::string& key);

// Of the layers of `network` that a mask may thin out. Error(usage), naming the network, for a density that cannot be.
std::vector<LayerDensity> densities_of(Module& network, const SparseOptions& options, double density);

// Where no layer under masks can skip anything (TrainingPlan::execution is empty): what happens instead.
std::string masked_execution_note(ExecutionChoice execution, const Cell& cell);

}  // namespace poise
