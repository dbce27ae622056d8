// How the stand-in behaves, set by environment variables:
//
//   STAND_IN_ORDER=ascending | descending | random[:SEED]   order of warps, blocks, and work in streams
//   STAND_IN_CHANGE=FILE       a seeded fault for the PTX: see below
//   STAND_IN_PROFILE=FILE      counts of what every kernel did (profile.h)
//   STAND_IN_RUN=sample:N      for profiles of large sizes: between cudaProfilerStart and cudaProfilerStop, N blocks of
//                              each large launch run, and counts are extrapolated. From cudaProfilerStart on, copies to
//                              the host copy zeros. After cudaProfilerStop no kernel runs
//
// A fault file has the lines `kernel NAME`, `from TEXT` and `to TEXT`. NAME and the first TEXT are regular expressions:
// in every kernel whose name contains a match of NAME, matches of `from` in each line are replaced with `to`.
#pragma once
#include <string>

#include "tests/ptx/interpreter/machine.h"

namespace poise::stand_in {

struct Policy {
  ptx::Order order = ptx::Order::ascending;
  uint64_t seed = 1;
  uint64_t sampled_blocks = 0;  // per launch, between cudaProfilerStart and cudaProfilerStop; 0: all blocks run
};
const Policy& policy();

// Sets the order from now on: 0 restores that of the environment, 1 is descending, other values seed a random order.
void set_order(uint64_t seed);

std::string changed_by_policy(std::string ptx);

// Reports a use that CUDA forbids on standard error.
void complain(const char* call, const std::string& why);

}  // namespace poise::stand_in
