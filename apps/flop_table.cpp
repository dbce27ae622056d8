#include "apps/flop_table.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/progress.h"
#include "apps/run_state.h"

namespace poise {
namespace {

// What the methods of the papers do besides their steps, at the papers' intervals. Raising and rewiring D need dense
// gradients at most this often: whether they happen is for the balance ratio to say.
struct Method {
  const char* name;
  ExtraWork extra;
  double dense_phase = 0,
         phase = 1;  // iterations, as shares of those asked for: dense ones first, then at the densities
};
constexpr Method kMethods[] = {
    {"static", {}},
    {"sdst-set", {}},  // grows at random: no gradients
    {"sdst-rigl", {.dense_gradient_g_every = 500}},
    {"dda", {.dense_gradient_d_every = 2000, .balance_every = 10}},
    {"ddst-relaxed", {.dense_gradient_g_every = 500, .dense_gradient_d_every = 1000, .balance_every = 10}},
    {"ddst-strict", {.dense_gradient_g_every = 500, .dense_gradient_d_every = 2000, .balance_every = 10}},
    {"posthoc", {}, 1, 0.5},
};

const Method& method_of(const std::string& name) {
  for (const Method& method : kMethods)
    if (name == method.name) return method;
  fail(ErrorKind::usage, "unknown method '" + name + "'");
}

// Both networks at their densities in one convention, and the whole run.
struct RunCost {
  std::vector<double> densities_g, densities_d;
  IterationCost dense, sparse;  // one iteration
  double dense_total = 0, total = 0;
  double ratio() const { return total / dense_total; }
};

RunCost run_cost(const FlopRequest& r, const ModelCost& model, FlopConvention convention) {
  const Method& method = method_of(r.method);
  const Settings& s = r.settings;
  const IterationShape shape{s.batch_size_d, s.batch_size_g, s.n_critic};
  const auto at = [&](const std::vector<double>& g, const std::vector<double>& d, const ExtraWork& extra) {
    return iteration_cost(model.g, g, model.d, d, shape, extra, convention);
  };
  RunCost cost;
  cost.densities_g = densities_of(model.g, r.rule, r.density_g, r.cell, convention);
  cost.densities_d = densities_of(model.d, r.rule, r.density_d, r.cell, convention);
  cost.dense = at(std::vector<double>(model.g.layers.size(), 1.0), std::vector<double>(model.d.layers.size(), 1.0), {});
  cost.sparse = at(cost.densities_g, cost.densities_d, method.extra);
  const double iterations = static_cast<double>(s.iterations);
  cost.dense_total = iterations * cost.dense.total();
  cost.total = iterations * (method.dense_phase * cost.dense.total() + method.phase * cost.sparse.total());
  return cost;
}

std::string layer_table(const char* title, const NetworkCost& network, const std::vector<double>& densities,
                        FlopConvention convention) {
  std::string text = fmt::format("{:<24}{:>16}{:>12}{:>10}{:>16}{:>16}\n", title, "shape", "weights", "density",
                                 "MAC/image", "sparse");
  int64_t weights = 0;
  double alive = 0;
  for (size_t i = 0; i < network.layers.size(); ++i) {
    const auto& [layer, maskable, masked_by_reference, macs, bias_outputs] = network.layers[i];
    const bool masked = convention == FlopConvention::full ? maskable : masked_by_reference;
    const int64_t n = layer.shape.elements();
    weights += n;
    alive += densities[i] * static_cast<double>(n);
    text += fmt::format("{:<24}{:>16}{:>12}{:>10}{:>16}{:>16}\n", layer.path, layer.shape.to_string(), format_count(n),
                        masked ? fmt::format("{:.4f}", densities[i]) : "unmasked", format_count(std::llround(macs)),
                        format_count(std::llround(densities[i] * macs)));
  }
  const std::vector<double> ones(densities.size(), 1.0);
  const double dense = network.forward_macs(ones, convention), sparse = network.forward_macs(densities, convention);
  if (convention != FlopConvention::full) {
    const double additions = dense - network.forward_macs(ones, FlopConvention::full);
    text += fmt::format("{:<24}{:>16}{:>12}{:>10}{:>16}{:>16}\n", "biases, batch norm", "", "", "",
                        format_count(std::llround(additions)), format_count(std::llround(additions)));
  }
  text += fmt::format("{:<24}{:>16}{:>12}{:>10.4f}{:>16}{:>16}  {:.2f}%\n\n", "total", "", format_count(weights),
                      alive / static_cast<double>(weights), format_count(std::llround(dense)),
                      format_count(std::llround(sparse)), 100 * sparse / dense);
  return text;
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

nlohmann::json json_of(const IterationCost& cost) {
  return {{"g_forward_mac", cost.g.forward},
          {"g_backward_mac", cost.g.backward},
          {"d_forward_mac", cost.d.forward},
          {"d_backward_mac", cost.d.backward},
          {"dense_gradients_mac", cost.dense_gradients},
          {"balance_ratio_mac", cost.balance},
          {"total_mac", cost.total()}};
}

}  // namespace

ModelCost model_cost(const ModelOptions& options) {
  const GanModel model = make_model(options);
  Generator& g = *model.generator;
  Discriminator& d = *model.discriminator;
  const Shape z{1, g.latent_size}, image{1, g.image_shape[0], g.image_shape[1], g.image_shape[2]};
  return {.g = network_cost(g, [&](Tape& t) { g(t.constant(t.alloc(z, DType::f32))); }),
          .d = network_cost(d, [&](Tape& t) { d(t.constant(t.alloc(image, DType::f32))); })};
}

std::vector<std::string> flop_method_names() {
  std::vector<std::string> names;
  for (const Method& method : kMethods) names.emplace_back(method.name);
  return names;
}

std::string flop_text(const FlopRequest& r) {
  const Settings& s = r.settings;
  const ModelCost model = model_cost(trainer_options(s).model);
  const RunCost cost = run_cost(r, model, r.convention);
  std::string text = fmt::format(
      "{}: {} iterations of {} D step{} ({} real + {} fake images) and 1 G step ({} images)\n"
      "method {}, density G {:g}, density D {:g}, rule {}, cell {}, convention {}\n\n",
      r.preset.empty() ? s.model : r.preset, format_count(s.iterations), s.n_critic, s.n_critic > 1 ? "s" : "",
      s.batch_size_d, s.batch_size_d, s.batch_size_g, r.method, r.density_g, r.density_d,
      density_rule_names()[static_cast<size_t>(r.rule)], to_string(r.cell), name_of(r.convention));
  text += layer_table("generator", model.g, cost.densities_g, r.convention);
  text += layer_table("discriminator", model.d, cost.densities_d, r.convention);
  text += iteration_table(cost.dense, cost.sparse);
  text += fmt::format("{:<40}{:>16}{:>16}{:>10}\n", "the run, MAC, by each convention", "dense", "sparse", "ratio");
  for (const std::string& name : flop_convention_names()) {
    const FlopConvention convention = *flop_convention_of(name);
    const RunCost other = run_cost(r, model, convention);
    text +=
        fmt::format("{:<40}{:>16.4e}{:>16.4e}{:>9.2f}%\n", name, other.dense_total, other.total, 100 * other.ratio());
  }
  return text + "\nWhat each convention counts: README.md. Densities are taken as given, for the whole run.\n";
}

std::string flop_json(const FlopRequest& r) {
  const ModelCost model = model_cost(trainer_options(r.settings).model);
  const RunCost cost = run_cost(r, model, r.convention);
  nlohmann::ordered_json json = {{"schema", 1},
                                 {"convention", name_of(r.convention)},
                                 {"preset", r.preset},
                                 {"model", r.settings.model},
                                 {"method", r.method},
                                 {"density_g", r.density_g},
                                 {"density_d", r.density_d},
                                 {"density_rule", density_rule_names()[static_cast<size_t>(r.rule)]},
                                 {"cell", to_string(r.cell)},
                                 {"iterations", r.settings.iterations},
                                 {"dense_total_mac", cost.dense_total},
                                 {"total_mac", cost.total},
                                 {"ratio", cost.ratio()},
                                 {"dense_iteration", json_of(cost.dense)},
                                 {"iteration", json_of(cost.sparse)}};
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
  append("G", model.g, cost.densities_g);
  append("D", model.d, cost.densities_d);
  return json.dump(2) + "\n";
}

}  // namespace poise
