// The methods of sparse training by name: those of "Balanced Training for Sparse GANs" (NeurIPS 2023), each a line of a
// table over the same parts. SparseOptions have their numbers.
//
//   method        G                                   D
//   dense         dense                               dense
//   static        fixed mask                          fixed mask
//   sdst-set      drop and grow at random             fixed mask
//   sdst-rigl     drop and grow by gradient           fixed mask
//   dda           fixed mask                          density follows the balance ratio
//   ddst-relaxed  drop and grow by gradient           density follows the balance ratio, up to 1
//   ddst-strict   drop and grow by gradient           the same up to d_max; there it drops and grows
//   posthoc       dense, then pruned and fine-tuned   dense
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "apps/training/sparse_options.h"

namespace poise {

struct SparseMethod {
  const char* name;
  bool masks = false, masks_d = false;
  std::optional<Growth> growth_g;
  bool control_d = false, strict = false, prunes = false;
  // What options that are 0 stand for.
  double band_low = 0.45, band_high = 0.55;
  int64_t update_every_d = 1000;
};

std::vector<std::string> method_names();
// Error(usage) for a name that no method has.
const SparseMethod& sparse_method(const std::string& name);

// The iteration after which method posthoc prunes; 0 for all others.
int64_t prune_at(const SparseOptions& options);

// Where no layer under masks can skip anything: what happens instead, "masked (no speed-up): ..."; else "".
std::string masked_execution_note(ExecutionChoice execution, const Cell& cell);

}  // namespace poise
