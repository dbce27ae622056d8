// Counts what a launch does: how often each instruction runs and for how many lanes, and what its accesses cost.
#pragma once
#include <cstdint>
#include <unordered_set>
#include <vector>

namespace poise::ptx {

struct InstructionCounts {
  uint64_t warps = 0, lanes = 0;
  uint64_t requests = 0;  // accesses of a warp to global memory
  uint64_t sectors = 0;   // 32-byte sectors that they touch, counted per request
  uint64_t first_sector = ~uint64_t{0}, last_sector = 0;
  uint64_t wavefronts = 0;  // passes that its accesses to shared memory take
  uint64_t phases = 0;      // passes they would take without bank conflicts
};

struct Profile {
  std::vector<InstructionCounts> counts;  // by position in the program
  std::unordered_set<uint64_t> touched;   // distinct sectors of global memory that blocks touched
  uint64_t touched_sectors = 0;           // of the whole launch: what must come from or go to DRAM
  uint64_t divergent_branches = 0, blocks = 0;
};

}  // namespace poise::ptx
