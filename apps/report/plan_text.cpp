#include "apps/report/plan_text.h"

#include <fmt/format.h>

#include <algorithm>

#include "apps/console/program.h"
#include "apps/console/progress.h"
#include "apps/report/sparse_plan_text.h"

namespace poise {
namespace {

struct LayerWork {
  std::string name;
  int64_t parameters = 0;
  double forward = 0, all = 0;  // FLOP of one iteration: forward passes, all passes
};

LayerWork& layer_of(std::vector<LayerWork>& layers, const std::string& name) {
  const auto found = std::find_if(layers.begin(), layers.end(), [&](const LayerWork& l) { return l.name == name; });
  if (found != layers.end()) return *found;
  layers.push_back({.name = name});
  return layers.back();
}

// Layers with parameters in the order of the module tree, and a row for the rest (pooling, losses, optimiser).
std::vector<LayerWork> layers_of(Module& network, const Profile& profile) {
  const std::string root = network.path();
  std::vector<LayerWork> layers;
  network.for_each_parameter([&](Parameter& parameter) {
    const size_t dot = parameter.path.rfind('.');
    layer_of(layers, root + "." + parameter.path.substr(0, dot)).parameters += parameter.shape.elements();
  });
  const size_t with_parameters = layers.size();
  LayerWork rest{.name = root + " (other operations)"};
  for (const Profile::Row& row : profile.rows()) {
    if (row.layer != root && !row.layer.starts_with(root + ".")) continue;
    LayerWork* layer = &layer_of(layers, row.layer);
    if (layer == &layers.back() && layers.size() > with_parameters) {
      layers.pop_back();
      layer = &rest;
    }
    layer->all += row.work.flops;
    if (row.work.pass == Pass::forward) layer->forward += row.work.flops;
  }
  if (rest.all > 0) layers.push_back(rest);
  return layers;
}

// `images`: the number of images in forward passes through the network in one iteration.
std::string network_table(const char* title, const std::vector<LayerWork>& layers, int64_t images, double total) {
  size_t width = 24;
  for (const LayerWork& layer : layers) width = std::max(width, layer.name.size());
  std::string text = fmt::format("{:<{}}  {:>12}  {:>20}  {:>15}  {:>6}\n", title, width, "parameters",
                                 "forward MFLOP/image", "GFLOP/iteration", "share");
  LayerWork sum{.name = "total"};
  const auto row = [&](const LayerWork& l) {
    text +=
        fmt::format("{:<{}}  {:>12}  {:>20.3f}  {:>15.3f}  {:>5.1f}%\n", l.name, width, format_count(l.parameters),
                    l.forward / static_cast<double>(images) / 1e6, l.all / 1e9, total > 0 ? 100 * l.all / total : 0);
  };
  for (const LayerWork& layer : layers) {
    row(layer);
    sum.parameters += layer.parameters;
    sum.forward += layer.forward;
    sum.all += layer.all;
  }
  row(sum);
  return text + "\n";
}

int64_t times(int64_t iterations, int64_t every) { return every > 0 ? iterations / every : 0; }

int64_t lines_of_losses(int64_t iterations, int64_t every) {
  const auto between = [&](int64_t i) { return i < iterations && i % every != 0; };
  return times(iterations, every) + (iterations % every != 0) +
         std::count_if(std::begin(kAlwaysLogged), std::end(kAlwaysLogged), between);
}

}  // namespace

std::string plan_text(const Settings& s, const TrainingPlan& plan, const ImageSet& images) {
  const ModelOptions& m = s.model;
  const TrainOptions& t = s.train;
  const OutputOptions& o = s.output;
  const GanModel model = make_model(m);
  std::string text = fmt::format("model {}: width_g {}, width_d {}, latent_size {}{}\n", m.name, m.width_g, m.width_d,
                                 m.latent_size, m.classes > 0 ? fmt::format(", {} classes", m.classes) : "");
  text += fmt::format("data {}: {} images of {}x{}x{} from {}, crc {:08x}\n", images.name, format_count(images.count),
                      images.height, images.width, images.channels, images.source, images.crc);
  text += fmt::format("iteration: {} D step{} of {} real + {} fake images, 1 G step of {} images, {} loss{}\n\n",
                      t.n_critic, t.n_critic > 1 ? "s" : "", t.batch_size_d, t.batch_size_d, t.batch_size_g,
                      name_of(t.loss),
                      t.accumulate > 1 ? fmt::format(", each step in {} micro-batches", t.accumulate) : "");
  text += network_table("generator", layers_of(*model.generator, plan.layers),
                        t.n_critic * t.batch_size_d + t.batch_size_g, plan.flops);
  text += network_table("discriminator", layers_of(*model.discriminator, plan.layers),
                        2 * t.n_critic * t.batch_size_d + t.batch_size_g, plan.flops);
  text += sparse_plan_text(s, plan);
  text +=
      fmt::format("work        {:.3f} GFLOP per iteration (a multiply-add is 2), {:.4g} TFLOP for {} iterations\n",
                  plan.flops / 1e9, plan.flops / 1e12 * static_cast<double>(t.iterations), format_count(t.iterations));
  text += fmt::format("memory      {:.1f} MiB: parameters and optimiser {:.1f}, arena {:.1f}, data {:.1f}\n",
                      static_cast<double>(plan.bytes()) / kMiB, static_cast<double>(plan.slab_bytes) / kMiB,
                      static_cast<double>(plan.arena_bytes) / kMiB, static_cast<double>(plan.data.bytes) / kMiB);
  text += fmt::format("            {}\n", plan.data.text);
  // Values, two moments, and G's moving average, as f32; and masks.
  const double checkpoint = (4.0 * static_cast<double>(4 * plan.parameters_g + 3 * plan.parameters_d) +
                             static_cast<double>(plan.mask_state_bytes)) /
                            kMiB;
  const int64_t checkpoints = std::min(o.keep_checkpoints, times(t.iterations, o.checkpoint_every) + 2);
  text +=
      fmt::format("files       {} checkpoints of {:.1f} MiB{}, {} picture grids, {} lines of train.jsonl\n",
                  checkpoints, checkpoint, s.evaluation.eval_every > 0 ? " and the best one" : "",
                  times(t.iterations, o.sample_every) + 2, format_count(lines_of_losses(t.iterations, o.log_every)));
  return text;
}

}  // namespace poise
