// How the stand-in behaves, from the environment:
//
//   POISE_STAND_IN_ORDER=ascending | descending | random[:SEED]   of warps, blocks, and work in streams
//   POISE_STAND_IN_CHANGE=FILE       a seeded fault for the PTX: see below
//
// A fault is lines of `kernel PART`, `from TEXT` and `to TEXT`, and maybe `which N`: in the text of every kernel whose
// name contains PART, the Nth (0: every) place where an instruction matches the regular expression becomes another one.
#pragma once
#include <string>

#include "tests/ptx/interpreter/machine.h"

namespace poise::stand_in {

struct Policy {
  ptx::Order order = ptx::Order::ascending;
  uint64_t seed = 1;
};
const Policy& policy();

std::string changed_by_policy(std::string ptx);

// Says on standard error what was done that CUDA forbids.
void complain(const char* call, const std::string& why);

}  // namespace poise::stand_in
