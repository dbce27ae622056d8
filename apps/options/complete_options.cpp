#include "apps/options/complete_options.h"

#include <fmt/format.h>

#include <cmath>

#include "apps/training/sparse_methods.h"

namespace poise {
namespace {

void complete_training_options(OptionSet& options) {
  const TrainOptions& s = options.settings().train;
  for (const auto& [key, batch] : {std::pair{"batch_size_d", s.batch_size_d}, {"batch_size_g", s.batch_size_g}}) {
    if (batch % s.accumulate == 0) continue;
    options.add_problem(fmt::format("accumulate: expected a divisor of {} = {} but got {}", key, batch, s.accumulate));
  }
  if (s.learning_rate_decay == LearningRateDecay::constant) {
    if (s.decay_start != 0 || s.decay_end != 0) {
      options.add_problem("decay_start, decay_end: the learning rates are constant; set learning_rate_decay = linear");
    }
    return;
  }
  if (s.decay_end == 0) options.set("decay_end", s.iterations, "iterations");
  if (s.decay_start >= s.decay_end) {
    options.add_problem(
        fmt::format("decay_start: expected less than decay_end = {} but got {}", s.decay_end, s.decay_start));
  }
}

void complete_sparse_options(OptionSet& options) {
  const Settings& settings = options.settings();
  const SparseOptions& s = settings.sparse;
  const SparseMethod& method = sparse_method(s.method);
  const std::string origin = "method " + s.method;
  const auto problem = [&](const std::string& text) { options.add_problem(text); };
  const bool masks = method.g || method.d;
  const bool skips = s.execution == ExecutionChoice::block || s.execution == ExecutionChoice::cusparse;
  if (skips && masks && block_of(s.cell) == 0) {
    problem(
        fmt::format("execution: {} skips blocks of 16x16 weights but cell is {}; use cell = 16x16 or execution = auto",
                    name_of(s.execution), to_string(s.cell)));
  }
  if (skips && s.moment_policy == MomentPolicy::keep) {
    problem(
        fmt::format("execution: {} computes no gradients of dead weights, which moment_policy = keep follows at "
                    "every step; use moment_policy = seed or execution = dense",
                    name_of(s.execution)));
  }
  if (s.execution == ExecutionChoice::cusparse && masks && settings.train.device == Device::cpu) {
    problem("execution: cusparse needs --device cuda or emulated but device is cpu; use execution = auto or block");
  }
  if (!masks) {
    if (s.density_g != 1 || (s.density_d != 0 && s.density_d != 1)) {
      problem("density_g, density_d: method dense has no masks; choose a sparse method or leave them at 1");
    }
    return;
  }
  for (const char* key : {"density_d", "band_low", "band_high", "update_every_d"}) {
    const Value now = value_of(settings, *find_option(key));
    const double otherwise = method.default_of(key, s);
    if (now == Value(0.0)) options.set(key, otherwise, origin);
    if (now == Value(int64_t{0})) options.set(key, std::llround(otherwise), origin);
  }
  if (s.schedule_iterations == 0) options.set("schedule_iterations", settings.train.iterations, "iterations");

  if (!method.d && s.density_d != 1) {
    problem(fmt::format("density_d: method {} keeps D dense but got {}; leave it out", s.method, s.density_d));
  }
  if (s.br_every > 0 && s.br_window < s.br_every) {
    problem(fmt::format("br_window: expected at least br_every = {} but got {}", s.br_every, s.br_window));
  }
  const MaskPolicies policies = policies_of(s);
  for (const MaskPolicy* policy : {policies.g.get(), policies.d.get()}) {
    for (const std::string& text : policy ? policy->problems() : std::vector<std::string>()) problem(text);
  }
}

}  // namespace

void complete_options(OptionSet& options) {
  complete_training_options(options);
  complete_sparse_options(options);
}

}  // namespace poise
