#include "apps/options/complete_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <tuple>

#include "apps/training/sparse_methods.h"
#include "data/registry.h"
#include "models/registry.h"

namespace poise {
namespace {

// The precedence of an option's source; higher ones win.
size_t rank_of(const std::string& origin) {
  constexpr std::array sources = {"default", "preset", "file", "environment", "command line"};
  const auto found = std::find_if(sources.begin(), sources.end(), [&](const char* s) { return origin.starts_with(s); });
  return static_cast<size_t>(found - sources.begin());
}

void complete_training_options(OptionSet& options) {
  const TrainOptions& s = options.settings().train;
  for (const auto& [key, batch] : {std::pair{"batch_size_d", s.batch_size_d}, {"batch_size_g", s.batch_size_g}}) {
    if (batch % s.accumulate == 0) continue;
    options.add_problem(fmt::format("accumulate: expected a divisor of {} = {} but got {}", key, batch, s.accumulate));
  }
  if (s.ema_start >= s.iterations && rank_of(options.origin("ema_start")) > rank_of("preset")) {
    options.add_warning(fmt::format("ema_start = {} has no effect in {} iterations: the averaged weights are the last",
                                    s.ema_start, s.iterations));
  }
  if (s.learning_rate_decay == LearningRateDecay::constant) {
    if (s.decay_start != 0 || s.decay_end != 0) {
      options.add_problem("decay_start, decay_end: the learning rates are constant; set learning_rate_decay = linear");
    }
    return;
  }
  if (s.decay_start >= s.decay_ends()) {
    options.add_problem(
        fmt::format("decay_start: expected less than decay_end = {} but got {}", s.decay_ends(), s.decay_start));
  }
}

// Reports a sparse method that masks no weight, or whose masks never change although they should.
void check_effect_of_masks(OptionSet& options) {
  const SparseOptions s = options.settings().scheduled_sparse();
  const MaskPolicies policies = policies_of(s);
  const bool controls = policies.follow_balance();
  if (s.density_g == 1 && s.density_d == 1 && !controls) {
    options.add_problem(fmt::format(
        "density_g: method {} at densities of 1 masks no weight; give a density below 1, or use method dense",
        s.method));
  }
  if (controls && s.density_floor > s.density_d) {
    options.add_problem(fmt::format("density_floor: expected at most density_d = {}, where D starts, but got {}",
                                    s.density_d, s.density_floor));
  }
  const auto never = [&](const char* key, int64_t every, const char* what) {
    if (every < s.schedule_iterations) return;
    options.add_warning(
        fmt::format("{} = {} has no effect in {} iterations: {}", key, every, s.schedule_iterations, what));
  };
  if (policies.g && policies.g->reads("drop_fraction")) {
    never("update_every_g", s.update_every_g, "G's masks never change");
  }
  if (!controls) return;
  never("update_every_d", s.update_every_d, "D's masks never change");
  never("br_window", s.br_window, "no decision has all the balance ratios it reads, and D's masks never change");
}

// If a method without masks in a network overrides a preset or file with a density for it, sets that density to 1.
void make_dense(OptionSet& options) {
  const SparseOptions& s = options.settings().sparse;
  const SparseMethod& method = sparse_method(s.method);
  const std::string origin = options.origin("method");
  std::string gone;
  for (const auto& [key, density, policy] :
       {std::tuple{"density_g", s.density_g, method.g}, {"density_d", s.density_d, method.d}}) {
    if (policy || density == 0 || density == 1) continue;
    if (rank_of(options.origin(key)) >= rank_of(origin)) {
      options.add_problem(fmt::format("{}: method {} has no masks in {} but got {}; {}leave {} out [{}]", key, s.method,
                                      key == std::string("density_g") ? "G" : "D", density,
                                      method.g ? "" : "choose a sparse method or ", key, options.origin(key)));
      continue;
    }
    gone += fmt::format("{}{} = {}", gone.empty() ? "" : " and ", key, density);
    options.set(key, 1.0, origin);
  }
  if (!gone.empty()) options.add_note(fmt::format("method {}: 1 instead of {}", s.method, gone));
}

void complete_sparse_options(OptionSet& options) {
  make_dense(options);
  const Settings& settings = options.settings();
  const SparseOptions& s = settings.sparse;
  const SparseMethod& method = sparse_method(s.method);
  const std::string origin = "method " + s.method;
  const auto problem = [&](const std::string& text) { options.add_problem(text); };
  const bool masks = method.g || method.d;
  const bool skips_blocks = s.execution == ExecutionChoice::block || s.execution == ExecutionChoice::cusparse;
  const bool weights = s.execution == ExecutionChoice::weights;
  if (skips_blocks && masks && block_of(s.cell) == 0) {
    problem(
        fmt::format("execution: {} skips blocks of 16x16 weights but cell is {}; use cell = 16x16 or execution = auto",
                    name_of(s.execution), to_string(s.cell)));
  }
  if ((skips_blocks || weights) && s.moment_policy == MomentPolicy::keep) {
    problem(
        fmt::format("execution: {} computes no gradients of dead weights, which moment_policy = keep follows at "
                    "every step; use moment_policy = seed or execution = dense",
                    name_of(s.execution)));
  }
  if (s.execution == ExecutionChoice::cusparse && masks && settings.train.device == Device::cpu) {
    problem("execution: cusparse needs --device cuda or emulated but device is cpu; use execution = auto or block");
  }
  if (weights && masks && settings.train.device && settings.train.device != Device::cpu) {
    problem(fmt::format("execution: weights needs --device cpu but device is {}; use execution = auto or block",
                        name_of(*settings.train.device)));
  }
  if (!masks) return;
  if (s.density_g == 1 && s.density_d == 0) {
    problem(fmt::format("density_g: method {} needs a density, that of the weights that are alive, as density_g = 0.1",
                        s.method));
    return;
  }
  for (const char* key : {"density_d", "band_low", "band_high", "update_every_d"}) {
    const Value now = value_of(settings, *find_option(key));
    const double otherwise = method.default_of(key, s);
    if (now == Value(0.0)) options.set(key, otherwise, origin);
    if (now == Value(int64_t{0})) options.set(key, std::llround(otherwise), origin);
  }

  check_effect_of_masks(options);
  if (s.br_every > 0 && s.br_window < s.br_every) {
    problem(fmt::format("br_window: expected at least br_every = {} but got {}", s.br_every, s.br_window));
  }
  const MaskPolicies policies = policies_of(settings.scheduled_sparse());
  for (const MaskPolicy* policy : {policies.g.get(), policies.d.get()}) {
    for (const std::string& text : policy ? policy->problems() : std::vector<std::string>()) problem(text);
  }
}

// Reports options that were set without effect: a problem from the command line, a warning from a file or the
// environment, nothing from a preset, since presets often set more than a run needs.
void check_effects(OptionSet& options) {
  for (const Option& option : option_table()) {
    const Effect& effect = option.effect;
    if (options.is_default(option) || effect.holds(options.settings())) continue;
    const std::string& origin = options.origin(option.key);
    const std::string text =
        fmt::format("{}: has no effect without {}; leave it out [{}]", option.key, effect.needs, origin);
    if (origin.starts_with("command line")) options.add_problem(text);
    if (origin.starts_with("file") || origin.starts_with("environment")) options.add_warning(text);
  }
}

}  // namespace

void complete_options(OptionSet& options) {
  complete_training_options(options);
  complete_sparse_options(options);
  check_effects(options);
  warn_of_schedules(options, options.settings());
}

void complete_data_set(OptionSet& options) {
  const DataOptions& data = options.settings().data;
  if (data.data == "sample" || rank_of(options.origin("dataset")) > rank_of("preset")) return;
  const std::string found = data_set_in(data.data);
  if (found.empty() || found == data.dataset) return;
  const std::string was = rank_of(options.origin("dataset")) == rank_of("preset")
                              ? fmt::format(", not {} [{}]", data.dataset, options.origin("dataset"))
                              : "";
  options.add_note(fmt::format("{} holds dataset {}{}", data.data, found, was));
  options.set("dataset", found, "the data");
  if (rank_of(options.origin("split")) <= rank_of("preset")) options.set("split", std::string("auto"), "the data");
}

namespace {

// "a, b, c and 7 more"
std::string some_of(const std::vector<std::string>& names) {
  constexpr size_t kMost = 3;
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kMost); ++i) text += (i > 0 ? ", " : "") + names[i];
  return names.size() > kMost ? fmt::format("{} and {} more", text, names.size() - kMost) : text;
}

std::string models_without_classes(int64_t side) {
  std::string text;
  for (const std::string& name : model_names()) {
    if (image_side_of(name) == side && published_model(name).classes == 0) text += (text.empty() ? "" : " or ") + name;
  }
  return text;
}

}  // namespace

void complete_classes(OptionSet& options, const ImageSet& images) {
  const ModelOptions& model = options.settings().model;
  const auto known = static_cast<int64_t>(images.class_names.size());
  const bool conditional = published_model(model.name).classes > 0, own = images.name == "folder";
  if (own) {
    const std::string classes =
        known == 0 ? "no classes"
                   : fmt::format("{} class{} ({}){}", known, known == 1 ? "" : "es", some_of(images.class_names),
                                 conditional ? "" : fmt::format(", which {} does not use", model.name));
    options.add_note(fmt::format("{}: {} pictures, {}; {} draws {}x{}, to which they are cropped and resized",
                                 images.source, images.count, classes, model.name, images.height, images.width));
  }
  if (!conditional) return;
  if (known == 0) {
    return options.add_problem(
        fmt::format("model {} draws images of classes, but {} has none; {}use --model {}, which needs none", model.name,
                    images.source, own ? "move the pictures of each class into a subfolder, or " : "",
                    models_without_classes(image_side_of(model.name))));
  }
  if (model.classes == 0) return options.set("classes", known, "the data");
  if (model.classes == known) return;
  if (rank_of(options.origin("classes")) <= rank_of("preset")) {
    options.add_note(fmt::format("classes {}: those of {} instead of {} [{}]", known, images.source, model.classes,
                                 options.origin("classes")));
    return options.set("classes", known, "the data");
  }
  options.add_problem(fmt::format("classes: expected {}, as {} has, but got {}; leave classes out [{}]", known,
                                  images.source, model.classes, options.origin("classes")));
}

void warn_of_schedules(OptionSet& options, const Settings& before) {
  const TrainOptions& t = options.settings().train;
  const SparseOptions s = options.settings().scheduled_sparse();
  const bool more = t.iterations > before.train.iterations;
  if (t.decay_ends() > 0 && t.decay_ends() < t.iterations) {
    options.add_warning(
        fmt::format("decay_end = {}: both learning rates are 0 from there to iteration {}, and no weight "
                    "changes",
                    t.decay_end, t.iterations));
  } else if (more && t.decay_ends() > before.train.decay_ends()) {
    options.add_warning(
        fmt::format("decay_end is as iterations: the learning rates, which were to be 0 at {}, now reach "
                    "it at {}",
                    before.train.decay_ends(), t.decay_ends()));
  }
  if (!more || !method_reads(s, "schedule_iterations")) return;
  if (s.schedule_iterations < t.iterations) {
    options.add_warning(fmt::format("schedule_iterations = {}: masks stay as they are from there to iteration {}",
                                    s.schedule_iterations, t.iterations));
  } else {
    options.add_warning(
        fmt::format("schedule_iterations is as iterations: masks, which were to stay from {} on, now change "
                    "until {}",
                    before.scheduled_sparse().schedule_iterations, s.schedule_iterations));
  }
}

}  // namespace poise
