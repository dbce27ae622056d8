// Dynamic sparse training as a user asks for it: the methods of "Balanced Training for Sparse GANs" (NeurIPS 2023),
// each a line of a table over the same parts, and the options of [sparse] that set their numbers.
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
#include <string>
#include <vector>

#include "apps/options/options.h"
#include "apps/training/sparse_options.h"

namespace poise {

std::vector<std::string> method_names();

// Fills in what 0 leaves to the method or to other options (density_d, band_low, band_high, update_every_d,
// schedule_iterations), and notes what does not fit together as problems.
void complete_sparse_options(OptionSet& options);

// Where no layer under masks can skip anything: what happens instead, "masked (no speed-up): ..."; else "".
std::string masked_execution_note(ExecutionChoice execution, const Cell& cell);

// Of settings that are complete.
SparseOptions sparse_options(const Settings& settings);

}  // namespace poise
