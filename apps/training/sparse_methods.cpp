#include "apps/training/sparse_methods.h"

#include <fmt/format.h>

#include <cmath>

namespace poise {
namespace {

const std::vector<SparseMethod>& methods() {
  static const std::vector<SparseMethod> table = {
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

}  // namespace

const SparseMethod& sparse_method(const std::string& name) {
  for (const SparseMethod& method : methods())
    if (name == method.name) return method;
  fail(ErrorKind::usage, "unknown method '" + name + "'");
}

std::vector<std::string> method_names() {
  std::vector<std::string> names;
  for (const SparseMethod& method : methods()) names.emplace_back(method.name);
  return names;
}

int64_t prune_at(const SparseOptions& options) {
  if (!sparse_method(options.method).prunes) return 0;
  return std::llround(static_cast<double>(options.schedule_iterations) / (1 + options.posthoc_fine_tune));
}

std::string masked_execution_note(ExecutionChoice execution, const Cell& cell) {
  if (execution == ExecutionChoice::dense) return "dense: dead weights are multiplied as zeros";
  if (block_of(cell) != 0) return "";
  return fmt::format("masked (no speed-up): no kernel skips cells of {}; 16x16 and its multiples have some",
                     to_string(cell));
}

}  // namespace poise
