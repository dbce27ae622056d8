// How the stand-in behaves, from the environment:
//
//   STAND_IN_ORDER=ascending | descending | random[:SEED]   of warps, blocks, and work in streams
//   STAND_IN_CHANGE=FILE       a seeded fault for the PTX: see below
//   STAND_IN_PROFILE=FILE      what every kernel did, counted (profile.h)
//   STAND_IN_RUN=sample:N      with a profile, for large sizes: between cudaProfilerStart and cudaProfilerStop, N blocks of
//                              each large launch run, and counts are extrapolated; what copies bring to the host from then
//                              on is zeros. After that nothing runs
//
// A fault is lines of `kernel NAME`, `from TEXT` and `to TEXT`: in every kernel of whose name the regular expression NAME
// matches a part, lines become what a replacement of TEXT makes of them.
#pragma once
#include <string>

#include "tests/ptx/interpreter/machine.h"

namespace poise::stand_in {

struct Policy {
  ptx::Order order = ptx::Order::ascending;
  uint64_t seed = 1;
  uint64_t sampled_blocks = 0;  // of a launch, while the program asks to be profiled. 0: all run
};
const Policy& policy();

// From now on: 0 as the environment says, 1 descending, others random by this seed.
void set_order(uint64_t seed);

std::string changed_by_policy(std::string ptx);

// Says on standard error what was done that CUDA forbids.
void complain(const char* call, const std::string& why);

}  // namespace poise::stand_in
