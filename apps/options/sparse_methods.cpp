#include "apps/options/sparse_methods.h"

#include <fmt/format.h>

#include <cmath>

namespace poise {
namespace {

struct Method {
  const char* name;
  bool masks = false, masks_d = false;
  std::optional<Growth> growth_g;
  bool control_d = false, strict = false, prunes = false;
  double band_low = 0.45, band_high = 0.55;
  int64_t update_every_d = 1000;
};

const std::vector<Method>& methods() {
  static const std::vector<Method> table = {
      {.name = "dense"},
      {.name = "static", .masks = true, .masks_d = true},
      {.name = "sdst-set", .masks = true, .masks_d = true, .growth_g = Growth::random},
      {.name = "sdst-rigl", .masks = true, .masks_d = true, .growth_g = Growth::gradient},
      {.name = "dda",
       .masks = true,
       .masks_d = true,
       .control_d = true,
       .band_low = 0.5,
       .band_high = 0.65,
       .update_every_d = 2000},
      {.name = "ddst-relaxed", .masks = true, .masks_d = true, .growth_g = Growth::gradient, .control_d = true},
      {.name = "ddst-strict",
       .masks = true,
       .masks_d = true,
       .growth_g = Growth::gradient,
       .control_d = true,
       .strict = true,
       .update_every_d = 2000},
      {.name = "posthoc", .masks = true, .prunes = true},
  };
  return table;
}

const Method& method_of(const std::string& name) {
  for (const Method& method : methods())
    if (name == method.name) return method;
  fail(ErrorKind::usage, "unknown method '" + name + "'");
}

}  // namespace

std::vector<std::string> method_names() {
  std::vector<std::string> names;
  for (const Method& method : methods()) names.emplace_back(method.name);
  return names;
}

void complete_sparse_options(OptionSet& options) {
  const Settings& s = options.settings();
  const Method& method = method_of(s.method);
  const std::string origin = "method " + s.method;
  const auto problem = [&](const std::string& text) { options.add_problem(text); };
  if (!cell_of(s.cell)) {
    problem(fmt::format("cell: expected a form like 1x1, 16x16 or 16x16-all-taps but got \"{}\" [{}]", s.cell,
                        options.origin("cell")));
  }
  const bool skips = s.execution == "block" || s.execution == "cusparse";
  if (skips && method.masks && cell_of(s.cell) && block_of(*cell_of(s.cell)) == 0) {
    problem(
        fmt::format("execution: {} skips blocks of 16x16 weights but cell is {}; use cell = 16x16 or execution = auto",
                    s.execution, s.cell));
  }
  if (skips && s.moment_policy == "keep") {
    problem(
        fmt::format("execution: {} computes no gradients of dead weights, which moment_policy = keep follows at "
                    "every step; use moment_policy = seed or execution = dense",
                    s.execution));
  }
  if (s.execution == "cusparse" && method.masks && s.device == "cpu") {
    problem("execution: cusparse needs --device cuda or emulated but device is cpu; use execution = auto or block");
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
  if (s.schedule_iterations == 0) options.set("schedule_iterations", s.iterations, "iterations");

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

std::string masked_execution_note(ExecutionChoice execution, const Cell& cell) {
  if (execution == ExecutionChoice::dense) return "dense: dead weights are multiplied as zeros";
  if (block_of(cell) != 0) return "";
  return fmt::format("masked (no speed-up): no kernel skips cells of {}; 16x16 and its multiples have some",
                     to_string(cell));
}

SparseOptions sparse_options(const Settings& s) {
  const Method& method = method_of(s.method);
  SparseOptions o;
  o.method = s.method;
  o.masks = method.masks;
  o.density_g = s.density_g;
  o.density_d = s.density_d;
  o.rule = density_rule_of(s.density_rule).value_or(DensityRule::erk);
  o.cell = cell_of(s.cell).value_or(Cell{});
  o.execution = execution_choice_of(s.execution).value_or(ExecutionChoice::automatic);
  o.head = s.mask_head ? MaskableHead::as_reference : MaskableHead::dense;
  o.scope = selection_scope_of(s.selection_scope).value_or(SelectionScope::global);
  o.moments = moment_policy_of(s.moment_policy).value_or(MomentPolicy::seed);
  o.growth_g = method.growth_g;
  o.control_d = method.control_d;
  o.drop = {.shape = schedule_shape_of(s.drop_schedule).value_or(ScheduleShape::cosine),
            .start = s.drop_fraction,
            .end = s.drop_fraction_end,
            .length = s.schedule_iterations};
  if (method.prunes) {
    o.prune_at = std::llround(static_cast<double>(s.schedule_iterations) / (1 + s.posthoc_fine_tune));
  }
  o.update_every_g = s.update_every_g;
  o.update_every_d = s.update_every_d;
  o.control = {.low = s.band_low,
               .high = s.band_high,
               .step = s.density_step,
               .floor = s.density_floor,
               .limit = method.strict ? s.d_max : 1.0,
               .rewire_at_limit = method.strict};
  o.balance_every = method.masks ? s.br_every : 0;
  o.balance_window = s.br_window;
  o.balance_mode = balance_mode_of(s.br_mode).value_or(BalanceMode::mean_of_ratios);
  return o;
}

}  // namespace poise
