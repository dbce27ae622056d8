// inspect_run flops: what training a model at given densities costs, as text and as JSON.
#pragma once
#include "apps/options.h"
#include "engine/sparse/flops.h"
#include "models/registry.h"

namespace poise {

struct ModelCost {
  NetworkCost g, d;
};
ModelCost model_cost(const ModelOptions& options);

struct FlopRequest {
  Settings settings;   // model, batch sizes, n_critic, iterations
  std::string preset;  // its name, for the title
  double density_g = 1, density_d = 1;
  DensityRule rule = DensityRule::erk;
  Cell cell;
  std::string method = "static";  // what is charged besides the steps: flop_method_names()
  FlopConvention convention = FlopConvention::full;
};

std::vector<std::string> flop_method_names();

std::string flop_text(const FlopRequest& request);
// One object: convention, dense_total_mac, total_mac, ratio, layers (network, name, weights, density, mac_per_image:
// dense, forward) and what the text has besides. Totals are of the whole run.
std::string flop_json(const FlopRequest& request);

}  // namespace poise
