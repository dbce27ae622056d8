// Kernels with one bug each, which the emulator or its checker must catch, and the same kernels without the bug. Each
// is a template over `Bug`, so that the lines that make the difference are those that test `Bug`.
#pragma once
#include <vector>

#include "kernels/core/context.h"

namespace poise {

// The data of every case, in device memory allocated for each run.
struct BugData {
  static constexpr int kElements = 4096;
  const float* x;  // [4096], x[i] = i % 251 + 1
  float* y;        // [4096], zeros
  int* counters;   // [256], zeros
};

enum class Caught {
  by_checker,  // a report of the checked kernel, in any order of threads
  by_rules,    // a report of the emulator, with or without the checker
  by_result,   // no rule is broken: the result is wrong
};

struct SeededBug {
  const char* name;
  Caught caught;
  const char* report;  // part of the message; alternatives are separated by '|'
  void (*run)(Context&, bool bug, const BugData&);
};

#define POISE_SEEDED_BUGS                \
  std::vector<SeededBug> barrier_bugs(); \
  std::vector<SeededBug> warp_bugs();    \
  std::vector<SeededBug> copy_bugs();    \
  std::vector<SeededBug> memory_bugs();  \
  std::vector<SeededBug> block_bugs();

namespace emulated {
POISE_SEEDED_BUGS
}
namespace checked {
POISE_SEEDED_BUGS
}
#undef POISE_SEEDED_BUGS

}  // namespace poise
