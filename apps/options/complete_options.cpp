#include "apps/options/complete_options.h"

#include <fmt/format.h>

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
  const bool skips_blocks = s.execution == ExecutionChoice::block || s.execution == ExecutionChoice::cusparse;
  const bool weights = s.execution == ExecutionChoice::weights;
  if (skips_blocks && method.masks && block_of(s.cell) == 0) {
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
  if (s.execution == ExecutionChoice::cusparse && method.masks && settings.train.device == Device::cpu) {
    problem("execution: cusparse needs --device cuda or emulated but device is cpu; use execution = auto or block");
  }
  if (weights && method.masks && settings.train.device && settings.train.device != Device::cpu) {
    problem(fmt::format("execution: weights needs --device cpu but device is {}; use execution = auto or block",
                        name_of(*settings.train.device)));
  }
  if (!method.masks) {
    if (s.density_g != 1 || (s.density_d != 0 && s.density_d != 1)) {
      problem("density_g, density_d: method dense has no masks; choose a sparse method or leave them at 1");
    }
    return;
  }
  if (s.density_d == 0) options.set("density_d", method.masks_d ? s.density_g : 1.0, origin);
  if (s.band_low == 0) options.set("band_low", method.band_low, origin);
  if (s.band_high == 0) options.set("band_high", method.band_high, origin);
  if (s.update_every_d == 0) options.set("update_every_d", method.update_every_d, origin);
  if (s.schedule_iterations == 0) options.set("schedule_iterations", settings.train.iterations, "iterations");

  if (!method.masks_d && s.density_d != 1) {
    problem(fmt::format("density_d: method {} keeps D dense but got {}; leave it out", s.method, s.density_d));
  }
  if (method.strict && s.density_d > s.d_max) {
    problem(fmt::format("density_d: expected at most d_max = {} but got {}", s.d_max, s.density_d));
  }
  if (s.br_every > 0 && s.br_window < s.br_every) {
    problem(fmt::format("br_window: expected at least br_every = {} but got {}", s.br_every, s.br_window));
  }
  if (!method.control_d) return;
  if (!(s.band_low < s.band_high)) {
    problem(fmt::format("band_low: expected less than band_high = {} but got {}", s.band_high, s.band_low));
  }
  if (s.br_every == 0)
    problem(fmt::format("br_every: method {} follows the balance ratio; 10 is the paper's", s.method));
  if (s.br_every * 10 > s.update_every_d) {
    problem(
        fmt::format("br_every: expected at most a tenth of update_every_d = {}, so that a decision rests on more "
                    "than a few measurements, but got {}",
                    s.update_every_d, s.br_every));
  }
}

}  // namespace

void complete_options(OptionSet& options) {
  complete_training_options(options);
  complete_sparse_options(options);
}

}  // namespace poise
