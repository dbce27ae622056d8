#include "apps/report/flop_table.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/console/progress.h"

namespace poise {
namespace {

TrainingCost cost_of(const FlopRequest& r, FlopConvention convention) {
  return r.run ? recorded_cost(*r.run, r.settings, convention) : planned_cost(r.settings, convention);
}

std::string layer_table(const char* title, const NetworkCost& network, const std::vector<double>& densities,
                        const TrainingCost& cost) {
  std::string text = fmt::format("{:<24}{:>16}{:>12}{:>10}{:>16}{:>16}\n", title, "shape", "weights", "density",
                                 "MAC/image", "sparse");
  const auto row = [&](const std::string& name, const std::string& shape, const std::string& weights,
                       const std::string& density, double dense, double sparse) {
    text += fmt::format("{:<24}{:>16}{:>12}{:>10}{:>16}{:>16}\n", name, shape, weights, density,
                        format_count(std::llround(dense)), format_count(std::llround(sparse)));
  };
  int64_t weights = 0;
  double alive = 0;
  for (size_t i = 0; i < network.layers.size(); ++i) {
    const LayerCost& layer = network.layers[i];
    const int64_t n = layer.layer.shape.elements();
    weights += n;
    alive += densities[i] * static_cast<double>(n);
    row(layer.layer.path, layer.layer.shape.to_string(), format_count(n),
        layer.masked(cost.head) ? fmt::format("{:.4f}", densities[i]) : "unmasked", layer.macs,
        densities[i] * layer.macs);
  }
  const double dense = network.dense_macs(cost.convention), sparse = network.forward_macs(densities, cost.convention);
  const double additions = dense - network.dense_macs(FlopConvention::full);
  if (additions > 0) row("biases, batch norm", "", "", "", additions, additions);
  row("total", "", format_count(weights), fmt::format("{:.4f}", alive / static_cast<double>(weights)), dense, sparse);
  text.insert(text.size() - 1, fmt::format("  {:.2f}%", 100 * sparse / dense));
  return text + "\n";
}

std::string iteration_table(const IterationCost& dense, const IterationCost& sparse) {
  std::string text = fmt::format("{:<40}{:>16}{:>16}\n", "one iteration, GMAC", "dense", "sparse");
  const auto row = [&](const char* name, double a, double b) {
    text += fmt::format("{:<40}{:>16.3f}{:>16.3f}\n", name, a / 1e9, b / 1e9);
  };
  row("G forward", dense.g.forward, sparse.g.forward);
  row("G backward", dense.g.backward, sparse.g.backward);
  row("D forward", dense.d.forward, sparse.d.forward);
  row("D backward", dense.d.backward, sparse.d.backward);
  row("dense weight gradients at mask updates", 0, sparse.dense_gradients);
  row("balance ratio", 0, sparse.balance);
  row("total", dense.total(), sparse.total());
  return text + "\n";
}

nlohmann::ordered_json json_of(const IterationCost& cost) {
  return {{"g_forward_mac", cost.g.forward},
          {"g_backward_mac", cost.g.backward},
          {"d_forward_mac", cost.d.forward},
          {"d_backward_mac", cost.d.backward},
          {"dense_gradients_mac", cost.dense_gradients},
          {"balance_ratio_mac", cost.balance},
          {"total_mac", cost.total()}};
}

}  // namespace

std::string flop_text(const FlopRequest& r) {
  const TrainOptions& s = r.settings.train;
  const SparseOptions& sparse = r.settings.sparse;
  const TrainingCost cost = cost_of(r, r.convention);
  const DensityPeriod& last = cost.periods.back();
  std::string text =
      fmt::format("{}: {} iterations of {} D step{} ({} real + {} fake images) and 1 G step ({} images)\n", r.title,
                  format_count(std::llround(cost.iterations)), s.n_critic, s.n_critic > 1 ? "s" : "", s.batch_size_d,
                  s.batch_size_d, s.batch_size_g);
  text += fmt::format("method {}, rule {}, cell {}, convention {}\n", sparse.method, name_of(sparse.density_rule),
                      to_string(sparse.cell), name_of(r.convention));
  if (cost.periods.size() > 1) {
    text += fmt::format("densities changed {} times; the tables have the last ones, from iteration {} on\n",
                        cost.periods.size() - 1, format_count(std::llround(last.first_iteration)));
  }
  text += "\n" + layer_table("generator", cost.model.g, last.g, cost);
  text += layer_table("discriminator", cost.model.d, last.d, cost);
  text += iteration_table(cost.dense_iteration(), cost.iteration(last));
  text +=
      fmt::format("{:<40}{:>16}{:>16}{:>10}\n", "all iterations, MAC, by each convention", "dense", "sparse", "ratio");
  for (const std::string& name : names_of<FlopConvention>()) {
    const TrainingCost other = cost_of(r, *named<FlopConvention>(name));
    text += fmt::format("{:<40}{:>16.4e}{:>16.4e}{:>9.2f}%\n", name, other.dense_total(), other.total(),
                        100 * other.ratio());
  }
  if (!r.run && cost.extra.balance_every > 0)
    text += "\nThe balance ratio will change D's density; this is the cost if it never does.\n";
  return text;
}

std::string flop_json(const FlopRequest& r) {
  const TrainingCost cost = cost_of(r, r.convention);
  const DensityPeriod& last = cost.periods.back();
  nlohmann::ordered_json json = {{"schema", 1},
                                 {"convention", name_of(r.convention)},
                                 {"title", r.title},
                                 {"model", r.settings.model.name},
                                 {"method", r.settings.sparse.method},
                                 {"density_rule", name_of(r.settings.sparse.density_rule)},
                                 {"cell", to_string(r.settings.sparse.cell)},
                                 {"iterations", cost.iterations},
                                 {"density_changes", cost.periods.size() - 1},
                                 {"dense_total_mac", cost.dense_total()},
                                 {"total_mac", cost.total()},
                                 {"ratio", cost.ratio()},
                                 {"dense_iteration", json_of(cost.dense_iteration())},
                                 {"last_iteration", json_of(cost.iteration(last))}};
  auto& layers = json["layers"] = nlohmann::ordered_json::array();
  const auto append = [&](const char* network, const NetworkCost& n, const std::vector<double>& densities) {
    for (size_t i = 0; i < n.layers.size(); ++i) {
      layers.push_back({{"network", network},
                        {"name", n.layers[i].layer.path},
                        {"weights", n.layers[i].layer.shape.elements()},
                        {"density", densities[i]},
                        {"mac_per_image", n.layers[i].macs}});
    }
  };
  append("G", cost.model.g, last.g);
  append("D", cost.model.d, last.d);
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";  // a run's name may have any bytes
}

}  // namespace poise
