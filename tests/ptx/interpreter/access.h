// Resolves the addresses of an access per lane, checks bounds and alignment, and counts what the access costs.
#pragma once
#include "tests/ptx/interpreter/lanes.h"

namespace poise::ptx {

struct Places {
  unsigned char* at[kLanes];  // host addresses, valid for the lanes that take part
};

enum class Access : uint8_t { load, store };

// Computes the addresses of an access: the value in the register at `base` plus the instruction's offset.
void addresses_of(Warp& w, const Instruction& i, uint32_t base, uint64_t (&to)[kLanes]);

// Resolves an access to i.space. Counts what it costs if the launch has a profile.
void resolve(Warp& w, const Instruction& i, uint32_t lanes, Access access, Places& places);

// Parts of resolve(), for copies from one space to another.
void resolve_global(Warp& w, const uint64_t (&addresses)[kLanes], uint32_t lanes, uint32_t bytes, uint32_t used,
                    const char* what, Places& places);
void check_shared(Warp& w, const uint64_t (&addresses)[kLanes], uint32_t lanes, uint32_t bytes, const char* what);

// Update the profile, if there is one: the sectors of 32 bytes that a request to global memory touches; the passes
// through the 32 banks that an access to shared memory takes, and how many it would take without conflicts.
void count_global(Warp& w, const Instruction& i, const uint64_t (&addresses)[kLanes], uint32_t lanes);
void count_shared(Warp& w, const Instruction& i, const uint64_t (&addresses)[kLanes], uint32_t lanes, uint32_t bytes);

}  // namespace poise::ptx
